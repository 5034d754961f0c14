#include <cstring>

#include "decode.h"

namespace segment {

namespace {

constexpr unsigned kOrientationTag = 0x0112;
constexpr std::size_t kEntrySize = 12;

// Reads numbers of a TIFF structure; 0 beyond its end.
class TiffReader {
public:
    TiffReader(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {
        is_big_ = size >= 2 && data[0] == 'M';
    }

    [[nodiscard]] std::size_t number(std::size_t offset, std::size_t length) const {
        if (offset > size_ || size_ - offset < length) return 0;
        std::size_t value = 0;
        for (std::size_t i = 0; i < length; ++i) {
            value = value << 8U | data_[offset + (is_big_ ? i : length - 1 - i)];
        }
        return value;
    }

private:
    const std::uint8_t* data_;
    std::size_t size_;
    bool is_big_ = false;
};

}  // namespace

int exif_orientation(const std::uint8_t* data, std::size_t size) {
    const TiffReader tiff(data, size);
    const std::size_t directory = tiff.number(4, 4);
    const std::size_t count = tiff.number(directory, 2);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t entry = directory + 2 + kEntrySize * i;
        if (tiff.number(entry, 2) == kOrientationTag) {
            const std::size_t value = tiff.number(entry + 8, 2);
            return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
        }
    }
    return 1;
}

Picture upright(Picture picture, int orientation) {
    if (orientation == 1) return picture;
    // Of the picture as stored: which axes run backwards, and whether rows and columns change places.
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const bool is_turned = orientation >= 5;
    const Size stored = picture.size;
    const Size size = is_turned ? Size{stored.width, stored.height} : stored;
    Picture result{size, picture.channels, Bytes(picture.bytes.size())};
    std::uint8_t* target = result.bytes.data();
    for (std::size_t y = 0; y < size.height; ++y) {
        for (std::size_t x = 0; x < size.width; ++x, target += picture.channels) {
            const std::size_t row = is_turned ? x : y;
            const std::size_t column = is_turned ? y : x;
            const std::size_t source = (from_bottom ? stored.height - 1 - row : row) * stored.width +
                                       (from_right ? stored.width - 1 - column : column);
            std::memcpy(target, picture.bytes.data() + source * picture.channels, picture.channels);
        }
    }
    return result;
}

}  // namespace segment
