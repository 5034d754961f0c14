// What can go wrong, by what becomes of the run.
#pragma once

#include <stdexcept>

namespace segment {

// The user must put something right: one message, exit status 2.
class UserError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

// One image cannot be predicted: it is reported, the others go on, exit status 1.
class ImageError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace segment
