// What deploy.yaml says about an exported model.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "colours.h"
#include "transforms.h"

namespace segment {

struct ModelFile {
    std::filesystem::path path;
    std::optional<std::string> checksum;  // as checksum_of() gives it, where deploy.yaml says it
};

struct Description {
    std::filesystem::path path;  // of deploy.yaml
    ModelFile onnx;
    std::optional<ModelFile> int8;
    std::array<long, 4> input_shape = {-1, 3, -1, -1};  // N, C, H, W; −1 stands for any
    bool is_softmax = false;                            // the model gives probabilities
    std::optional<std::size_t> num_classes;
    std::vector<Transform> transforms;
    float padding_value = 0.0F;
    std::vector<Colour> palette;

    [[nodiscard]] std::size_t channels() const { return static_cast<std::size_t>(input_shape[1]); }
};

// Reads deploy.yaml, or that of a folder. Throws UserError when it is damaged, names no ONNX model, or names a file
// that is not there or a transform that this program does not have.
Description read_description(std::filesystem::path path);

}  // namespace segment
