#include "arguments.h"

#include <charconv>
#include <functional>
#include <map>

#include "error.h"

namespace segment {

const char* const kUsage =
    "usage: segment --config D/deploy.yaml --image_path IMAGE|FOLDER [--save_dir S] [--threads N]\n"
    "               [--precision fp32|int8] [--benchmark True|False]\n"
    "\n"
    "Predicts PNG and JPEG images with a model that `export.py --format onnx` wrote.\n"
    "\n"
    "  --config      deploy.yaml\n"
    "  --image_path  an image, or a folder, which is searched with its subfolders\n"
    "  --save_dir    gets label/, pseudo_color_prediction/, added_prediction/ and NAME.png (default: ./output)\n"
    "  --threads     CPU threads (default: the cores that this process may use)\n"
    "  --precision   fp32, or int8 where the model was quantised (default: fp32)\n"
    "  --benchmark   print the milliseconds that an image takes\n";

namespace {

constexpr int kMostThreads = 1024;
const char* const kSeeHelp = " (all flags: segment --help)";

int to_threads(const std::string& text) {
    int value = 0;
    const char* const end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    if (result.ec != std::errc() || result.ptr != end || value < 1 || value > kMostThreads) {
        throw UserError("--threads: got '" + text + "'; expected a whole number from 1 to " +
                        std::to_string(kMostThreads));
    }
    return value;
}

bool to_bool(const std::string& text) {
    if (text == "True" || text == "true") return true;
    if (text == "False" || text == "false") return false;
    throw UserError("--benchmark: got '" + text + "'; expected True or False");
}

std::string to_precision(const std::string& text) {
    if (text == "fp32" || text == "int8") return text;
    throw UserError("--precision: got '" + text + "'; expected fp32 or int8");
}

void check(const Arguments& arguments) {
    if (arguments.config.empty()) throw UserError(std::string("--config is missing") + kSeeHelp);
    if (arguments.image_path.empty()) throw UserError(std::string("--image_path is missing") + kSeeHelp);
    if (arguments.save_dir.empty()) throw UserError("--save_dir: the value is empty; is a shell variable unset?");
}

}  // namespace

Arguments parse_arguments(const std::vector<std::string>& words) {
    Arguments result;
    const std::map<std::string, std::function<void(const std::string&)>> flags = {
        {"--config", [&](const std::string& text) { result.config = text; }},
        {"--image_path", [&](const std::string& text) { result.image_path = text; }},
        {"--save_dir", [&](const std::string& text) { result.save_dir = text; }},
        {"--precision", [&](const std::string& text) { result.precision = to_precision(text); }},
        {"--threads", [&](const std::string& text) { result.threads = to_threads(text); }},
        {"--benchmark", [&](const std::string& text) { result.benchmark = to_bool(text); }},
    };
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i] == "--help" || words[i] == "-h") {
            result.help = true;
            return result;
        }
        const auto equals = words[i].find('=');
        const auto flag = flags.find(words[i].substr(0, equals));
        if (flag == flags.end()) throw UserError("unknown argument '" + words[i] + "'" + kSeeHelp);
        if (equals != std::string::npos) {
            flag->second(words[i].substr(equals + 1));
        } else if (i + 1 < words.size()) {
            flag->second(words[++i]);
        } else {
            throw UserError(flag->first + ": expected a value" + kSeeHelp);
        }
    }
    check(result);
    return result;
}

}  // namespace segment
