// The exported model in OpenVINO.
#pragma once

#include <filesystem>
#include <string>
#include <variant>

#include <openvino/runtime/infer_request.hpp>
#include <openvino/runtime/tensor.hpp>

#include "description.h"
#include "image.h"

namespace segment {

class Model {
public:
    // Throws UserError when the file cannot be loaded. `precision`: "fp32" or "int8".
    Model(const Description& description, const std::string& precision, int threads);

    // Class ids of a model that ends in argmax, else scores; both of the image's size. An image smaller than the
    // model's fixed size is padded. Throws ImageError for one that does not fit or fails, UserError when the model does not
    // do what deploy.yaml says.
    std::variant<Labels, Planes> run(const Planes& image);

private:
    [[nodiscard]] ov::Tensor input_for(const Planes& image) const;
    [[nodiscard]] Size size_for(Size image) const;

    Description description_;
    ov::InferRequest request_;
};

}  // namespace segment
