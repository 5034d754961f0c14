// Image files → pictures, with what cv2.imdecode makes of them.
#pragma once

#include <cstddef>
#include <filesystem>

#include "files.h"
#include "image.h"

namespace segment {

// Reads a PNG or JPEG file: 16 bits are reduced to 8, an alpha channel is dropped, palettes become colours, and the
// orientation noted in EXIF data is applied.
// `channels`: 3 for RGB, 1 for grey. Throws ImageError, without the file's name.
Picture read_picture(const std::filesystem::path& path, std::size_t channels);

// The formats: the picture as stored, and EXIF's orientation (1..8; 1 where there is none).
struct Decoded {
    Picture picture;
    int orientation = 1;
};
Decoded decode_png(const Bytes& file, std::size_t channels);
Decoded decode_jpeg(const Bytes& file, std::size_t channels);

// The orientation in a block of EXIF data (from its byte order on).
int exif_orientation(const std::uint8_t* data, std::size_t size);

// Turns and mirrors a picture to how it is to be seen.
Picture upright(Picture picture, int orientation);

// Throws ImageError for a picture larger than this program takes, or than `file_size` bytes can hold at
// `most_per_byte` pixels a byte: a few bytes shall not claim gigabytes.
void check_size(Size size, std::size_t file_size, std::size_t most_per_byte);

}  // namespace segment
