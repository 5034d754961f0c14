#include "description.h"

#include <yaml-cpp/yaml.h>

#include <cmath>

#include "error.h"
#include "files.h"
#include "transforms_yaml.h"

namespace segment {

namespace fs = std::filesystem;

namespace {

constexpr std::uintmax_t kMostBytes = std::uintmax_t{1} << 20;
constexpr long kLongestSide = 1L << 20;

std::optional<std::string> checksum_for(const YAML::Node& deploy, const std::string& name) {
    const YAML::Node checksums = deploy["checksums"];
    if (!checksums || checksums.IsNull()) return std::nullopt;
    if (!checksums.IsMap()) throw UserError("checksums: expected a mapping from file to 'sha256:…'");
    const YAML::Node checksum = checksums[name];
    if (!checksum) return std::nullopt;
    return checksum.as<std::string>();
}

std::optional<ModelFile> file_of(const YAML::Node& deploy, const char* key, const fs::path& folder) {
    const YAML::Node name = deploy[key];
    if (!name || name.IsNull()) return std::nullopt;
    const auto text = name.as<std::string>();
    const fs::path file = folder / text;
    std::error_code error;
    if (!fs::is_regular_file(file, error)) {
        throw UserError(std::string(key) + ": no file " + file.string() + "; copy it there, or export the model again");
    }
    return ModelFile{file, checksum_for(deploy, text)};
}

std::array<long, 4> read_shape(const YAML::Node& node) {
    std::array<long, 4> shape = {-1, 3, -1, -1};
    if (!node) return shape;
    bool is_shape = node.IsSequence() && node.size() == shape.size();
    for (std::size_t i = 0; is_shape && i < shape.size(); ++i) {
        is_shape = YAML::convert<long>::decode(node[i], shape[i]) &&
                   (shape[i] == -1 || (shape[i] >= 1 && shape[i] <= kLongestSide));
    }
    if (!is_shape || (shape[1] != 1 && shape[1] != 3)) {
        throw UserError("input_shape: expected N, C, H, W, each a size or -1 for any, with C = 1 or 3");
    }
    return shape;
}

std::vector<Colour> read_palette(const YAML::Node& node) {
    std::vector<Colour> palette;
    if (!node || node.IsNull()) return palette;
    bool is_table = node.IsSequence();
    for (std::size_t i = 0; is_table && i < node.size(); ++i) {
        is_table = node[i].IsSequence() && node[i].size() == 3;
        Colour colour{};
        for (std::size_t c = 0; is_table && c < colour.size(); ++c) {
            int level = -1;
            is_table = YAML::convert<int>::decode(node[i][c], level) && level >= 0 && level <= 255;
            colour[c] = static_cast<std::uint8_t>(level);
        }
        palette.push_back(colour);
    }
    if (!is_table) throw UserError("palette: expected a list of [red, green, blue], whole numbers 0..255");
    return palette;
}

float read_padding_value(const YAML::Node& node) {
    if (!node || node.IsNull()) return 0.0F;
    double value = 0;
    const bool is_number = node.IsMap() && (!node["value"] || YAML::convert<double>::decode(node["value"], value));
    if (!is_number || !std::isfinite(value)) {
        throw UserError("padding: expected {side: bottom_right, value: number}");
    }
    return static_cast<float>(value);
}

// Whether the model ends in softmax.
bool read_output_op(const YAML::Node& node) {
    const std::string op = node ? node.as<std::string>() : "none";
    if (op != "argmax" && op != "softmax" && op != "none") {
        throw UserError("output_op: expected argmax, softmax or none, got '" + op + "'");
    }
    return op == "softmax";
}

std::optional<std::size_t> read_class_count(const YAML::Node& node) {
    if (!node || node.IsNull()) return std::nullopt;
    long count = 0;
    if (!YAML::convert<long>::decode(node, count) || count < 1) {
        throw UserError("num_classes: expected a whole number from 1");
    }
    return static_cast<std::size_t>(count);
}

YAML::Node load(const fs::path& path) {
    const Bytes bytes = read_file(path, kMostBytes);
    const YAML::Node tree = YAML::Load(std::string(bytes.begin(), bytes.end()));
    if (!tree.IsMap() || !tree["Deploy"] || !tree["Deploy"].IsMap()) {
        throw std::runtime_error("it has no mapping 'Deploy'");
    }
    return tree["Deploy"];
}

Description interpret(const YAML::Node& deploy, const fs::path& path) {
    const auto onnx = file_of(deploy, "onnx", path.parent_path());
    if (!onnx) {
        throw UserError(
            "names no ONNX model, the only kind that this program runs; export the model again with --format all");
    }
    Description result;
    result.path = path;
    result.onnx = *onnx;
    result.int8 = file_of(deploy, "int8", path.parent_path());
    result.input_shape = read_shape(deploy["input_shape"]);
    result.is_softmax = read_output_op(deploy["output_op"]);
    result.num_classes = read_class_count(deploy["num_classes"]);
    result.transforms = read_transforms(deploy["transforms"], result.channels());
    result.padding_value = read_padding_value(deploy["padding"]);
    result.palette = read_palette(deploy["palette"]);
    return result;
}

}  // namespace

Description read_description(fs::path path) {
    std::error_code error;
    if (fs::is_directory(path, error)) path /= "deploy.yaml";
    const std::string where = "--config " + path.string() + ": ";
    try {
        return interpret(load(path), path);
    } catch (const UserError& problem) {
        throw UserError(where + "Deploy: " + problem.what());
    } catch (const std::runtime_error& problem) {  // of yaml-cpp, too
        throw UserError(where + "not a deploy.yaml of export.py (" + problem.what() + ")");
    }
}

}  // namespace segment
