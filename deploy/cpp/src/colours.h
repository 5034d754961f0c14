// Pictures of labels.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "image.h"

namespace segment {

using Colour = std::array<std::uint8_t, 3>;
using Palette = std::array<Colour, 256>;

// The data set's own colours, then those of PASCAL VOC from number 1 on, as PaddleSeg has them.
Palette make_palette(const std::vector<Colour>& own);

// Paints class ids; those without a colour are black.
Picture painted(const Labels& labels, const Palette& palette);

// Lays painted labels over the image: 60 % image, 40 % colour.
Picture overlay(const Picture& image, const Labels& labels, const Palette& palette);

}  // namespace segment
