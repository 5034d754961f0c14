#include "resize.h"

#include <algorithm>
#include <cmath>

namespace segment {

namespace {

// Between which two pixels of an axis each target pixel lies, and how far from the first.
struct Axis {
    std::vector<std::size_t> first, second;
    std::vector<float> weight;
};

Axis make_axis(std::size_t source, std::size_t target) {
    Axis axis;
    const double scale = static_cast<double>(source) / static_cast<double>(target);
    for (std::size_t i = 0; i < target; ++i) {
        const double position = (static_cast<double>(i) + 0.5) * scale - 0.5;
        const double below = std::floor(position);
        const bool is_inside = below >= 0 && below < static_cast<double>(source - 1);
        const std::size_t first = is_inside ? static_cast<std::size_t>(below) : (below < 0 ? 0 : source - 1);
        axis.first.push_back(first);
        axis.second.push_back(std::min(first + 1, source - 1));
        axis.weight.push_back(is_inside ? static_cast<float>(position - below) : 0.0F);
    }
    return axis;
}

// OpenCV takes one rounding (a fused multiply-add); in double the product is exact too.
float blend(float a, float b, float weight) {
    return static_cast<float>(a + static_cast<double>(b - a) * static_cast<double>(weight));
}

void blend_columns(const float* source, const Axis& columns, float* target) {
    for (std::size_t x = 0; x < columns.first.size(); ++x) {
        target[x] = blend(source[columns.first[x]], source[columns.second[x]], columns.weight[x]);
    }
}

void blend_rows(const float* upper, const float* lower, float weight, std::size_t width, float* target) {
    for (std::size_t x = 0; x < width; ++x) target[x] = blend(upper[x], lower[x], weight);
}

// Source pixels by a running sum, as OpenCV has it: its rounding decides where two are equally near.
std::vector<std::size_t> nearest(std::size_t source, std::size_t target) {
    const double scale = static_cast<double>(source) / static_cast<double>(target);
    std::vector<std::size_t> indices;
    double position = scale / 2;
    for (std::size_t i = 0; i < target; ++i, position += scale) {
        indices.push_back(std::min(static_cast<std::size_t>(position), source - 1));
    }
    return indices;
}

}  // namespace

Planes resize_bilinear(const Planes& source, Size target) {
    const Axis rows = make_axis(source.size.height, target.height);
    const Axis columns = make_axis(source.size.width, target.width);
    Planes result(source.channels, target);
    std::vector<float> wide(source.size.height * target.width);
    for (std::size_t c = 0; c < source.channels; ++c) {
        for (std::size_t y = 0; y < source.size.height; ++y) {
            blend_columns(source.plane(c) + y * source.size.width, columns, wide.data() + y * target.width);
        }
        for (std::size_t y = 0; y < target.height; ++y) {
            blend_rows(wide.data() + rows.first[y] * target.width, wide.data() + rows.second[y] * target.width,
                       rows.weight[y], target.width, result.plane(c) + y * target.width);
        }
    }
    return result;
}

Labels resize_nearest(const Labels& source, Size target) {
    const auto rows = nearest(source.size.height, target.height);
    const auto columns = nearest(source.size.width, target.width);
    Labels result{target, {}, source.is_wide};
    result.ids.reserve(target.area());
    for (const std::size_t y : rows) {
        for (const std::size_t x : columns) result.ids.push_back(source.ids[y * source.size.width + x]);
    }
    return result;
}

}  // namespace segment
