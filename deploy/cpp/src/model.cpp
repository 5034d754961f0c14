#include "model.h"

#include <openvino/runtime/core.hpp>
#include <openvino/runtime/properties.hpp>

#include <algorithm>
#include <stdexcept>

#include "checksum.h"
#include "error.h"
#include "files.h"

namespace segment {

namespace {

constexpr std::uintmax_t kMostBytes = std::uintmax_t{1} << 31;  // of a protobuf message, which ONNX is

ModelFile file_for(const Description& description, const std::string& precision) {
    if (precision != "int8") return description.onnx;
    if (description.int8) return *description.int8;
    throw UserError("--precision int8: " + description.path.string() +
                    " names no quantised model; make one: python slim/quant/ptq.py --config " +
                    description.path.string() + " --calibration FOLDER");
}

std::string read_checked(const ModelFile& file) {
    Bytes bytes;
    try {
        bytes = read_file(file.path, kMostBytes);
    } catch (const std::runtime_error& error) {
        throw UserError(file.path.string() + ": cannot be read: " + error.what());
    }
    if (file.checksum && *file.checksum != checksum_of(bytes)) {
        throw UserError(file.path.string() + ": the file is not the one that was exported (its checksum is " +
                        checksum_of(bytes) + ", deploy.yaml says " + *file.checksum +
                        "); it was cut short, changed or swapped: copy or export the model again");
    }
    return {bytes.begin(), bytes.end()};
}

// OpenVINO's messages go over pages.
std::string shortened(const ov::Exception& error) { return std::string(error.what()).substr(0, 300); }

std::string text_of(const ov::Shape& shape) { return ov::PartialShape(shape).to_string(); }

template <typename Id>
Labels labels_from(const Id* ids, Size source, Size image, std::optional<std::size_t> classes) {
    Labels labels{image, {}, classes.value_or(0) > 256};
    labels.ids.reserve(image.area());
    for (std::size_t y = 0; y < image.height; ++y) {
        for (std::size_t x = 0; x < image.width; ++x) {
            const auto id = static_cast<std::uint16_t>(ids[y * source.width + x]);
            labels.is_wide |= !classes && id > 255;
            labels.ids.push_back(id);
        }
    }
    return labels;
}

Planes planes_from(const float* scores, std::size_t channels, Size source, Size image) {
    Planes planes(channels, image);
    for (std::size_t c = 0; c < channels; ++c) {
        for (std::size_t y = 0; y < image.height; ++y) {
            const float* const row = scores + c * source.area() + y * source.width;
            std::copy_n(row, image.width, planes.plane(c) + y * image.width);
        }
    }
    return planes;
}

// The first of a batch, without what was padded. Throws UserError for another shape or type.
std::variant<Labels, Planes> output_of(const ov::Tensor& tensor, Size padded, Size image,
                                       std::optional<std::size_t> classes) {
    const ov::Shape shape = tensor.get_shape();
    const bool fits = shape.size() >= 3 && shape[0] >= 1 && shape[shape.size() - 2] == padded.height &&
                      shape[shape.size() - 1] == padded.width;
    const ov::element::Type type = tensor.get_element_type();
    if (fits && shape.size() == 3 && type == ov::element::i32) {
        return labels_from(tensor.data<std::int32_t>(), padded, image, classes);
    }
    if (fits && shape.size() == 3 && type == ov::element::i64) {
        return labels_from(tensor.data<std::int64_t>(), padded, image, classes);
    }
    if (fits && shape.size() == 4 && shape[1] >= 1 && shape[1] <= 65536 && type == ov::element::f32) {
        return planes_from(tensor.data<float>(), shape[1], padded, image);
    }
    throw UserError("the model returned " + text_of(shape) + " of " + type.get_type_name() +
                    " for an image of H×W = " + std::to_string(padded.height) + "×" +
                    std::to_string(padded.width) + "; expected class ids N×H×W or scores N×K×H×W; export it again");
}

}  // namespace

Model::Model(const Description& description, const std::string& precision, int threads)
    : description_(description) {
    const ModelFile file = file_for(description, precision);
    const std::string content = read_checked(file);
    try {
        ov::Core core;
        // By itself it computes in bf16 wherever the processor can.
        auto compiled = core.compile_model(core.read_model(content, ov::Tensor()), "CPU",
                                           ov::hint::inference_precision(ov::element::f32),
                                           ov::inference_num_threads(threads),
                                           ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY));
        request_ = compiled.create_infer_request();
    } catch (const ov::Exception& error) {
        throw UserError(file.path.string() + ": OpenVINO cannot load the model (" + shortened(error) +
                        "); export the model again");
    }
}

Size Model::size_for(Size image) const {
    const auto& shape = description_.input_shape;
    const Size size{shape[2] == -1 ? image.height : static_cast<std::size_t>(shape[2]),
                    shape[3] == -1 ? image.width : static_cast<std::size_t>(shape[3])};
    if (size.height < image.height || size.width < image.width) {
        throw ImageError("the transforms make it " + std::to_string(image.width) + "×" +
                         std::to_string(image.height) + " pixels, but the model was exported for " +
                         std::to_string(size.width) + "×" + std::to_string(size.height) +
                         "; add a Resize to that size to the transforms in deploy.yaml, or export with "
                         "--input_shape 1 3 -1 -1 for any size");
    }
    return size;
}

ov::Tensor Model::input_for(const Planes& image) const {
    const auto batch = static_cast<std::size_t>(std::max(description_.input_shape[0], 1L));
    ov::Tensor input(ov::element::f32, {batch, image.channels, image.size.height, image.size.width});
    std::fill_n(input.data<float>(), input.get_size(), 0.0F);
    std::copy(image.values.begin(), image.values.end(), input.data<float>());
    return input;
}

std::variant<Labels, Planes> Model::run(const Planes& image) {
    const Size size = size_for(image.size);
    try {
        request_.set_input_tensor(
            input_for(size == image.size ? image : padded(image, size, {description_.padding_value})));
        request_.infer();
        return output_of(request_.get_output_tensor(0), size, image.size, description_.num_classes);
    } catch (const ov::Exception& error) {
        throw ImageError("OpenVINO cannot run the model on it (" + shortened(error) +
                         "); if it fails on every image, export the model again");
    }
}

}  // namespace segment
