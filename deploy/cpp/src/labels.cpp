#include "labels.h"

#include <cmath>
#include <limits>

#include "error.h"

namespace segment {

Labels to_labels(const Planes& scores) {
    const std::size_t area = scores.size.area();
    Labels labels{scores.size, std::vector<std::uint16_t>(area, 0), scores.channels > 256};
    std::vector<float> best(scores.plane(0), scores.plane(0) + area);
    bool is_number = true;
    for (std::size_t c = 0; c < scores.channels; ++c) {
        const float* const plane = scores.plane(c);
        for (std::size_t i = 0; i < area; ++i) {
            is_number &= !std::isnan(plane[i]);
            const bool is_better = plane[i] > best[i];
            labels.ids[i] = is_better ? static_cast<std::uint16_t>(c) : labels.ids[i];
            best[i] = is_better ? plane[i] : best[i];
        }
    }
    if (!is_number) {
        throw UserError(
            "the model's scores are not numbers (NaN): its weights are damaged, or its training diverged; export "
            "an earlier checkpoint");
    }
    return labels;
}

Planes logarithms(Planes probabilities) {
    for (float& value : probabilities.values) {
        value = std::log(value < std::numeric_limits<float>::min() ? std::numeric_limits<float>::min() : value);
    }
    return probabilities;
}

}  // namespace segment
