// Reading and writing of whole files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace segment {

using Bytes = std::vector<std::uint8_t>;

// Reads a file. Throws std::runtime_error with the system's reason, or when it is larger than `most` bytes.
Bytes read_file(const std::filesystem::path& path, std::uintmax_t most);

// Writes beside the target and renames, so that no half a file is seen; missing folders are made.
// Throws UserError.
void write_file(const std::filesystem::path& path, const Bytes& bytes);

// Makes a folder and tries whether it can be written. Throws UserError.
void make_writable(const std::filesystem::path& folder);

}  // namespace segment
