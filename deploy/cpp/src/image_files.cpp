#include "image_files.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "error.h"

namespace segment {

namespace fs = std::filesystem;

namespace {

// As in infer.py: what this program cannot decode is reported rather than passed over.
const std::set<std::string> kSuffixes = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"};

bool is_image(const fs::directory_entry& entry) {
    std::error_code error;
    std::string suffix = entry.path().extension().string();
    std::transform(suffix.begin(), suffix.end(), suffix.begin(), [](unsigned char c) { return std::tolower(c); });
    return kSuffixes.count(suffix) > 0 && entry.is_regular_file(error);
}

std::vector<fs::path> images_below(const fs::path& folder) {
    std::vector<fs::path> files;
    std::error_code error;
    const auto options = fs::directory_options::skip_permission_denied;
    auto entry = fs::recursive_directory_iterator(folder, options, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
        if (is_image(*entry)) files.push_back(entry->path());
    }
    if (error) throw UserError("--image_path " + folder.string() + ": cannot be searched: " + error.message());
    std::sort(files.begin(), files.end());
    return files;
}

std::string unique_name(const std::string& wanted, std::set<std::string>& taken) {
    std::string name = wanted;
    for (int number = 2; !taken.insert(name).second; ++number) name = wanted + "_" + std::to_string(number);
    return name;
}

// Images in folders that are called like ours go to others, whose names no image has.
void set_top_names(std::vector<ImageFile>& images) {
    std::set<std::string> firsts;
    for (const ImageFile& image : images) firsts.insert(*fs::path(image.name).begin());
    std::map<std::string, std::string> renamed;
    for (const char* const ours : kResultFolders) {
        if (firsts.count(ours) > 0) renamed[ours] = std::string(ours) + "_images";
    }
    const auto is_taken = [&firsts](const auto& entry) { return firsts.count(entry.second) > 0; };
    while (std::any_of(renamed.begin(), renamed.end(), is_taken)) {
        for (auto& [ours, other] : renamed) other += '_';
    }
    for (ImageFile& image : images) {
        const std::string first = *fs::path(image.name).begin();
        const bool is_moved = first != image.name && renamed.count(first) > 0;
        image.top_name = is_moved ? renamed[first] + image.name.substr(first.size()) : image.name;
    }
}

// Two images that differ in the suffix alone keep it in their names.
std::vector<ImageFile> named(const std::vector<fs::path>& files, const fs::path& root) {
    std::map<std::string, int> stems;
    const auto below = [&root](const fs::path& file) { return file.lexically_relative(root); };
    const auto stem = [&below](const fs::path& file) { return below(file).replace_extension().string(); };
    for (const auto& file : files) ++stems[stem(file)];
    std::set<std::string> taken;
    std::vector<ImageFile> images;
    for (const auto& file : files) {
        std::string flat = file.filename().string();
        std::replace(flat.begin(), flat.end(), '.', '_');
        const bool is_alone = stems[stem(file)] == 1;
        const std::string wanted = is_alone ? stem(file) : below(file).replace_filename(flat).string();
        images.push_back({file, unique_name(wanted, taken), ""});
    }
    set_top_names(images);
    return images;
}

}  // namespace

std::vector<ImageFile> find_images(const fs::path& where) {
    std::error_code error;
    if (fs::is_regular_file(where, error)) return named({where}, where.parent_path());
    const auto files = fs::is_directory(where, error) ? images_below(where) : std::vector<fs::path>();
    if (files.empty()) {
        throw UserError("--image_path " + where.string() +
                        ": no image found; expected a PNG or JPEG image, or a folder with such images");
    }
    return named(files, where);
}

}  // namespace segment
