// Which images the user means.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace segment {

struct ImageFile {
    std::filesystem::path path;
    std::string name;  // of its results, relative, without a suffix
};

// Finds an image, or those of a folder and its subfolders, in a stable order, each with a name of its own (the
// names that infer.py gives). Throws UserError when there is none.
std::vector<ImageFile> find_images(const std::filesystem::path& where);

}  // namespace segment
