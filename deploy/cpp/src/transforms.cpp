#include "transforms.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "error.h"
#include "resize.h"

namespace segment {

namespace {

std::string text_of(Size size) { return std::to_string(size.width) + "×" + std::to_string(size.height); }

float of_channel(const std::vector<float>& values, std::size_t channel) {
    return values.size() == 1 ? values[0] : values[channel];
}

// Half goes to the even neighbour, as in Python's round().
std::size_t rounded(double value) { return static_cast<std::size_t>(std::max(std::nearbyint(value), 1.0)); }

std::size_t to_multiple(std::size_t length, std::size_t divisor) {
    return (length + divisor - 1) / divisor * divisor;
}

Size target_of(const Resize& step, Size size) {
    Size target = step.target;
    if (step.keep_ratio) {
        const auto [target_short, target_long] = std::minmax(target.height, target.width);
        const auto [short_side, long_side] = std::minmax(size.height, size.width);
        const double scale = std::min(static_cast<double>(target_long) / static_cast<double>(long_side),
                                      static_cast<double>(target_short) / static_cast<double>(short_side));
        target = {rounded(static_cast<double>(size.height) * scale),
                  rounded(static_cast<double>(size.width) * scale)};
    }
    if (step.size_divisor) {
        target = {to_multiple(target.height, *step.size_divisor), to_multiple(target.width, *step.size_divisor)};
    }
    return target;
}

void step_over(const Normalize& step, Transformed& state) {
    for (std::size_t c = 0; c < state.image.channels; ++c) {
        const float mean = of_channel(step.mean, c);
        const float deviation = of_channel(step.std, c);
        float* const plane = state.image.plane(c);
        std::transform(plane, plane + state.image.size.area(), plane,
                       [=](float value) { return (value / 255.0F - mean) / deviation; });
    }
}

void step_over(const Padding& step, Transformed& state) {
    const Size size = state.image.size;
    if (size.height > step.target.height || size.width > step.target.width) {
        throw ImageError("Padding: the image has " + text_of(size) + " pixels, more than target_size " +
                         text_of(step.target) + "; raise target_size or put a Resize before it");
    }
    if (size == step.target) return;
    state.image = padded(state.image, step.target, step.value);
    state.undo.push_back({Undo::Kind::kPadding, size});
}

void step_over(const Resize& step, Transformed& state) {
    const Size size = state.image.size;
    const Size target = target_of(step, size);
    if (size == target) return;
    state.image = resize_bilinear(state.image, target);
    state.undo.push_back({Undo::Kind::kResize, size});
}

Planes cropped(const Planes& source, Size target) {
    Planes result(source.channels, target);
    for (std::size_t c = 0; c < source.channels; ++c) {
        for (std::size_t y = 0; y < target.height; ++y) {
            std::copy_n(source.plane(c) + y * source.size.width, target.width, result.plane(c) + y * target.width);
        }
    }
    return result;
}

Labels cropped(const Labels& source, Size target) {
    Labels result{target, std::vector<std::uint16_t>(target.area()), source.is_wide};
    for (std::size_t y = 0; y < target.height; ++y) {
        std::copy_n(source.ids.data() + y * source.size.width, target.width,
                    result.ids.data() + y * target.width);
    }
    return result;
}

}  // namespace

Planes to_planes(const Picture& picture) {
    Planes planes(picture.channels, picture.size);
    for (std::size_t c = 0; c < picture.channels; ++c) {
        float* const plane = planes.plane(c);
        const std::uint8_t* byte = picture.bytes.data() + c;
        for (std::size_t i = 0; i < picture.size.area(); ++i, byte += picture.channels) plane[i] = *byte;
    }
    return planes;
}

Planes padded(const Planes& source, Size target, const std::vector<float>& value) {
    Planes result(source.channels, target);
    for (std::size_t c = 0; c < source.channels; ++c) {
        float* const plane = result.plane(c);
        std::fill_n(plane, target.area(), of_channel(value, c));
        for (std::size_t y = 0; y < source.size.height; ++y) {
            std::copy_n(source.plane(c) + y * source.size.width, source.size.width, plane + y * target.width);
        }
    }
    return result;
}

Transformed run_transforms(const std::vector<Transform>& steps, Planes image) {
    Transformed state{std::move(image), {}};
    for (const Transform& step : steps) {
        std::visit([&state](const auto& one) { step_over(one, state); }, step);
    }
    return state;
}

Planes undo_scores(Planes scores, const std::vector<Undo>& undo) {
    for (auto step = undo.rbegin(); step != undo.rend(); ++step) {
        const bool is_resize = step->kind == Undo::Kind::kResize;
        scores = is_resize ? resize_bilinear(scores, step->size) : cropped(scores, step->size);
    }
    return scores;
}

Labels undo_labels(Labels labels, const std::vector<Undo>& undo) {
    for (auto step = undo.rbegin(); step != undo.rend(); ++step) {
        const bool is_resize = step->kind == Undo::Kind::kResize;
        labels = is_resize ? resize_nearest(labels, step->size) : cropped(labels, step->size);
    }
    return labels;
}

}  // namespace segment
