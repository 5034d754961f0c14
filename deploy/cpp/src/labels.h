// From scores to class ids.
#pragma once

#include "image.h"

namespace segment {

// Picks the class with the highest score, the first of equals. Throws UserError when a score is no number.
Labels to_labels(const Planes& scores);

// Logarithms of probabilities: up to a number for each pixel, the logits.
Planes logarithms(Planes probabilities);

}  // namespace segment
