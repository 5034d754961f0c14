#include <cstddef>
#include <cstdio>
// jpeglib.h needs the two above.
#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>
#include <cstring>
#include <string>

#include "decode.h"
#include "error.h"

namespace segment {

namespace {

constexpr unsigned kExifMarkerLength = 0xFFFF;
constexpr int kExifMarker = JPEG_APP0 + 1;
constexpr std::size_t kExifStart = 6;  // "Exif\0\0"

// libjpeg leaves by longjmp: see png.cpp.
struct Errors {
    jpeg_error_mgr base;
    std::jmp_buf place;
    char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr jpeg) {
    auto* const errors = reinterpret_cast<Errors*>(jpeg->err);
    errors->base.format_message(jpeg, errors->message);
    std::longjmp(errors->place, 1);
}

// Of a file that is cut short libjpeg would make up the rest.
void on_message(j_common_ptr jpeg, int level) {
    if (level < 0 && jpeg->err->msg_code == JWRN_JPEG_EOF) on_error(jpeg);
}

class Reader {
public:
    Reader() {
        jpeg.err = jpeg_std_error(&errors_.base);
        errors_.base.error_exit = on_error;
        errors_.base.emit_message = on_message;
        guarded([this] { jpeg_create_decompress(&jpeg); });
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() { jpeg_destroy_decompress(&jpeg); }

    template <typename Body>
    void guarded(Body body) {
        if (setjmp(errors_.place) != 0) {
            throw ImageError(std::string("cannot be decoded as JPEG: ") + errors_.message + "; copy it again");
        }
        body();
    }

    jpeg_decompress_struct jpeg{};

private:
    Errors errors_{};
};

void read_header(Reader& reader, const Bytes& file, std::size_t channels) {
    reader.guarded([&] {
        jpeg_mem_src(&reader.jpeg, file.data(), file.size());
        jpeg_save_markers(&reader.jpeg, kExifMarker, kExifMarkerLength);
        jpeg_read_header(&reader.jpeg, TRUE);
        reader.jpeg.out_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    });
}

int orientation_of(const jpeg_decompress_struct& jpeg) {
    for (const auto* marker = jpeg.marker_list; marker != nullptr; marker = marker->next) {
        const bool is_exif = marker->marker == kExifMarker && marker->data_length > kExifStart &&
                             std::memcmp(marker->data, "Exif\0", kExifStart) == 0;
        if (is_exif) return exif_orientation(marker->data + kExifStart, marker->data_length - kExifStart);
    }
    return 1;
}

}  // namespace

Decoded decode_jpeg(const Bytes& file, std::size_t channels) {
    // A picture of one colour takes a bit for a block of 64 pixels and channel, a progressive one less.
    constexpr std::size_t kMostPerByte = 1024;
    Reader reader;
    read_header(reader, file, channels);
    const Size size{reader.jpeg.image_height, reader.jpeg.image_width};
    check_size(size, file.size(), kMostPerByte);
    Decoded decoded{{size, channels, Bytes(size.area() * channels)}, orientation_of(reader.jpeg)};
    std::uint8_t* const bytes = decoded.picture.bytes.data();
    reader.guarded([&] {
        jpeg_start_decompress(&reader.jpeg);
        while (reader.jpeg.output_scanline < reader.jpeg.output_height) {
            JSAMPROW row = bytes + reader.jpeg.output_scanline * size.width * channels;
            jpeg_read_scanlines(&reader.jpeg, &row, 1);
        }
        jpeg_finish_decompress(&reader.jpeg);
    });
    return decoded;
}

}  // namespace segment
