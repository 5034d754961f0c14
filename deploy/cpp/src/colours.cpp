#include "colours.h"

#include <algorithm>
#include <cmath>

namespace segment {

namespace {

constexpr float kImageShare = 0.6F;

// Spreads the bits of a number over the channels.
Colour voc_colour(unsigned number) {
    Colour colour{};
    for (unsigned group = 0; group < 8; ++group) {
        for (unsigned channel = 0; channel < 3; ++channel) {
            const unsigned bit = (number >> (3 * group + channel)) & 1U;
            colour[channel] = static_cast<std::uint8_t>(colour[channel] | (bit << (7 - group)));
        }
    }
    return colour;
}

}  // namespace

Palette make_palette(const std::vector<Colour>& own) {
    Palette palette{};
    for (unsigned id = 0; id < palette.size(); ++id) {
        palette[id] = id < own.size() ? own[id] : voc_colour(id + 1);
    }
    return palette;
}

Picture painted(const Labels& labels, const Palette& palette) {
    Picture picture{labels.size, 3, {}};
    picture.bytes.reserve(3 * labels.size.area());
    for (const std::uint16_t id : labels.ids) {
        const Colour colour = id < palette.size() ? palette[id] : Colour{};
        picture.bytes.insert(picture.bytes.end(), colour.begin(), colour.end());
    }
    return picture;
}

Picture overlay(const Picture& image, const Labels& labels, const Palette& palette) {
    Picture picture = painted(labels, palette);
    for (std::size_t i = 0; i < picture.bytes.size(); ++i) {
        const float pixel = image.bytes[image.channels == 3 ? i : i / 3];
        const float blended = kImageShare * pixel + (1 - kImageShare) * static_cast<float>(picture.bytes[i]);
        picture.bytes[i] = static_cast<std::uint8_t>(std::min(std::nearbyint(blended), 255.0F));
    }
    return picture;
}

}  // namespace segment
