// What an image goes through before the model: the arithmetic of paddleseg/data/transforms.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "image.h"

namespace segment {

// (image / 255 − mean) / std, with one value or one a channel.
struct Normalize {
    std::vector<float> mean = {0.5F};
    std::vector<float> std = {0.5F};
};

// Pads at the bottom and the right; one value or one a channel.
struct Padding {
    Size target;
    std::vector<float> value = {127.5F};
};

// Resizes bilinearly.
struct Resize {
    Size target = {512, 512};
    bool keep_ratio = false;
    std::optional<std::size_t> size_divisor;
};

using Transform = std::variant<Normalize, Padding, Resize>;

// One geometric step that a prediction must go back through: the size before it.
struct Undo {
    enum class Kind { kResize, kPadding } kind;
    Size size;
};

struct Transformed {
    Planes image;
    std::vector<Undo> undo;
};

// H×W×C bytes → C×H×W numbers, 0..255.
Planes to_planes(const Picture& picture);

// Runs the steps in order. Throws ImageError for an image that one of them does not take.
Transformed run_transforms(const std::vector<Transform>& steps, Planes image);

// Extends planes at the bottom and the right.
Planes padded(const Planes& source, Size target, const std::vector<float>& value);

// Brings scores back to the size of the image.
Planes undo_scores(Planes scores, const std::vector<Undo>& undo);

// The same for class ids: the nearest pixel.
Labels undo_labels(Labels labels, const std::vector<Undo>& undo);

}  // namespace segment
