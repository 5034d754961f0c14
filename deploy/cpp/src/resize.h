// Resampling, with the arithmetic of OpenCV 5.
#pragma once

#include "image.h"

namespace segment {

// As cv2.resize with INTER_LINEAR: half-pixel centres, no smoothing.
Planes resize_bilinear(const Planes& source, Size target);

// As cv2.resize with INTER_NEAREST_EXACT.
Labels resize_nearest(const Labels& source, Size target);

}  // namespace segment
