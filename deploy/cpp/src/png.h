// Writing of PNG files.
#pragma once

#include "colours.h"
#include "files.h"
#include "image.h"

namespace segment {

// RGB, 8 bits.
Bytes encode_picture(const Picture& picture);

// Class ids as grey levels, of 8 bits, or 16 where labels are wide.
Bytes encode_labels(const Labels& labels);

// Class ids together with their colours (a palette image); wide labels are painted in RGB.
Bytes encode_painted(const Labels& labels, const Palette& palette);

}  // namespace segment
