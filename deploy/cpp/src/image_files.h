// Which images the user means.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

namespace segment {

// Folders of results; they lie below --save_dir, beside the results of top_name.
inline constexpr std::array<const char*, 3> kResultFolders = {"label", "pseudo_color_prediction", "added_prediction"};

struct ImageFile {
    std::filesystem::path path;
    std::string name;      // of its results in kResultFolders, relative, without a suffix
    std::string top_name;  // of its result below --save_dir itself, out of kResultFolders
};

// Finds an image, or those of a folder and its subfolders, in a stable order, each with a name of its own (the
// names that infer.py gives). Throws UserError when there is none.
std::vector<ImageFile> find_images(const std::filesystem::path& where);

}  // namespace segment
