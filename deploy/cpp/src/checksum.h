// Checksums of files.
#pragma once

#include <string>

#include "files.h"

namespace segment {

// "sha256:" and 64 hexadecimal digits.
std::string checksum_of(const Bytes& bytes);

}  // namespace segment
