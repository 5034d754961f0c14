#include "transforms_yaml.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "error.h"

namespace segment {

namespace {

constexpr long kLongestSide = 1L << 20;

// Parameters of one transform, with messages that name it.
class Block {
public:
    Block(const YAML::Node& node, const std::set<std::string>& known)
        : node_(node), type_(node["type"].as<std::string>()) {
        for (const auto& entry : node_) {
            const auto name = entry.first.as<std::string>();
            if (name != "type" && known.count(name) == 0) fail(name, "unknown parameter");
        }
    }

    [[nodiscard]] YAML::Node operator[](const std::string& name) const { return node_[name]; }

    [[noreturn]] void fail(const std::string& name, const std::string& reason) const {
        throw UserError("transforms: " + type_ + ": " + name + ": " + reason);
    }

    [[nodiscard]] std::size_t length(const std::string& name, const YAML::Node& value) const {
        long pixels = 0;
        if (!YAML::convert<long>::decode(value, pixels) || pixels < 1 || pixels > kLongestSide) {
            fail(name, "expected a whole number of at least 1");
        }
        return static_cast<std::size_t>(pixels);
    }

    // [width, height]
    [[nodiscard]] Size size(const std::string& name) const {
        const YAML::Node value = node_[name];
        if (!value.IsSequence() || value.size() != 2) fail(name, "expected [width, height] in whole pixels");
        return {length(name, value[1]), length(name, value[0])};
    }

    // One number, or one a channel.
    [[nodiscard]] std::vector<float> numbers(const std::string& name, std::size_t channels) const {
        std::vector<float> values;
        const YAML::Node value = node_[name];
        if (value.IsSequence()) {
            for (const auto& one : value) values.push_back(number(name, one));
        } else {
            values.push_back(number(name, value));
        }
        if (values.size() != 1 && values.size() != channels) {
            fail(name, "expected 1 or " + std::to_string(channels) + " numbers, got " +
                           std::to_string(values.size()));
        }
        return values;
    }

private:
    [[nodiscard]] float number(const std::string& name, const YAML::Node& value) const {
        double result = 0;
        if (!YAML::convert<double>::decode(value, result) || !std::isfinite(result)) fail(name, "expected a number");
        return static_cast<float>(result);
    }

    YAML::Node node_;
    std::string type_;
};

Transform read_normalize(const YAML::Node& node, std::size_t channels) {
    const Block block(node, {"mean", "std"});
    Normalize step;
    if (block["mean"]) step.mean = block.numbers("mean", channels);
    if (block["std"]) step.std = block.numbers("std", channels);
    if (std::count(step.std.begin(), step.std.end(), 0.0F) > 0) block.fail("std", "expected numbers other than 0");
    return step;
}

Transform read_padding(const YAML::Node& node, std::size_t channels) {
    const Block block(node, {"target_size", "im_padding_value", "label_padding_value"});
    const YAML::Node target = block["target_size"];
    if (!target) block.fail("target_size", "is missing");
    Padding step;
    if (target.IsScalar()) {
        const std::size_t side = block.length("target_size", target);
        step.target = {side, side};
    } else {
        step.target = block.size("target_size");
    }
    if (block["im_padding_value"]) step.value = block.numbers("im_padding_value", channels);
    return step;
}

Transform read_resize(const YAML::Node& node) {
    const Block block(node, {"target_size", "keep_ratio", "size_divisor", "interp"});
    Resize step;
    if (block["target_size"]) step.target = block.size("target_size");
    const YAML::Node ratio = block["keep_ratio"];
    if (ratio && !YAML::convert<bool>::decode(ratio, step.keep_ratio)) {
        block.fail("keep_ratio", "expected true or false");
    }
    const YAML::Node divisor = block["size_divisor"];
    if (divisor && !divisor.IsNull()) step.size_divisor = block.length("size_divisor", divisor);
    if (block["interp"] && block["interp"].as<std::string>() != "LINEAR") {
        block.fail("interp", "this program resizes with LINEAR only; use deploy/python/infer.py");
    }
    return step;
}

Transform read_transform(const YAML::Node& node, std::size_t channels) {
    if (!node.IsMap() || !node["type"]) throw UserError("transforms: expected blocks with a type");
    const auto type = node["type"].as<std::string>();
    if (type == "Normalize") return read_normalize(node, channels);
    if (type == "Padding") return read_padding(node, channels);
    if (type == "Resize") return read_resize(node);
    throw UserError("transforms: " + type +
                    ": this program has Normalize, Padding and Resize only; use deploy/python/infer.py");
}

}  // namespace

std::vector<Transform> read_transforms(const YAML::Node& blocks, std::size_t channels) {
    std::vector<Transform> steps;
    if (!blocks || blocks.IsNull()) return steps;
    if (!blocks.IsSequence()) throw UserError("transforms: expected a list");
    for (const auto& block : blocks) steps.push_back(read_transform(block, channels));
    return steps;
}

}  // namespace segment
