#include "decode.h"

#include <algorithm>
#include <string>

#include "error.h"

namespace segment {

namespace {

constexpr std::size_t kMostPixels = std::size_t{1} << 27;
constexpr std::uintmax_t kMostBytes = std::uintmax_t{1} << 30;
constexpr std::size_t kSmall = std::size_t{1} << 20;  // always affordable

bool starts_with(const Bytes& file, const Bytes& start) {
    return file.size() >= start.size() && std::equal(start.begin(), start.end(), file.begin());
}

Bytes read(const std::filesystem::path& path) {
    try {
        return read_file(path, kMostBytes);
    } catch (const std::runtime_error& error) {
        throw ImageError(std::string("the image cannot be read: ") + error.what());
    }
}

}  // namespace

Picture read_picture(const std::filesystem::path& path, std::size_t channels) {
    const Bytes file = read(path);
    if (file.empty()) throw ImageError("the image file is empty (0 bytes); copy it again");
    const bool is_png = starts_with(file, {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'});
    if (!is_png && !starts_with(file, {0xFF, 0xD8, 0xFF})) {
        throw ImageError("neither PNG nor JPEG; this program reads no other format");
    }
    Decoded decoded = is_png ? decode_png(file, channels) : decode_jpeg(file, channels);
    return upright(std::move(decoded.picture), decoded.orientation);
}

void check_size(Size size, std::size_t file_size, std::size_t most_per_byte) {
    const std::string text = std::to_string(size.width) + "×" + std::to_string(size.height);
    // Each side is below 2³², so the product does not overflow.
    if (size.area() > std::max(kSmall, most_per_byte * file_size)) {
        throw ImageError(std::to_string(file_size) + " bytes are too few for a picture of " + text +
                         " pixels (damaged or cut short?); copy it again");
    }
    if (size.area() > kMostPixels) {
        throw ImageError("the picture has " + text + " pixels, more than this program takes (" +
                         std::to_string(kMostPixels) + "); cut it into tiles");
    }
}

}  // namespace segment
