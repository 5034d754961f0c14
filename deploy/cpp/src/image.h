// Pictures, planes of numbers, and class ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace segment {

struct Size {
    std::size_t height = 0;
    std::size_t width = 0;

    [[nodiscard]] std::size_t area() const { return height * width; }
    bool operator==(const Size& other) const { return height == other.height && width == other.width; }
    bool operator!=(const Size& other) const { return !(*this == other); }
};

// H×W×C bytes as files hold them: RGB or grey.
struct Picture {
    Size size;
    std::size_t channels = 0;
    std::vector<std::uint8_t> bytes;
};

// C×H×W numbers: an image on its way to the model, or the scores of classes.
struct Planes {
    std::size_t channels = 0;
    Size size;
    std::vector<float> values;

    Planes(std::size_t channel_count, Size plane_size, float value = 0.0F)
        : channels(channel_count), size(plane_size), values(channel_count * plane_size.area(), value) {}

    [[nodiscard]] const float* plane(std::size_t channel) const { return values.data() + channel * size.area(); }
    [[nodiscard]] float* plane(std::size_t channel) { return values.data() + channel * size.area(); }
};

// H×W class ids.
struct Labels {
    Size size;
    std::vector<std::uint16_t> ids;
    bool is_wide = false;  // whether ids may go beyond a byte
};

}  // namespace segment
