// Predicts images with an exported model: segment --help.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <set>

#include "arguments.h"
#include "colours.h"
#include "decode.h"
#include "description.h"
#include "error.h"
#include "files.h"
#include "image_files.h"
#include "labels.h"
#include "model.h"
#include "png.h"
#include "threads.h"
#include "transforms.h"

namespace segment {

namespace {

constexpr int kOk = 0;
constexpr int kFailed = 1;
constexpr int kUsageError = 2;

using Clock = std::chrono::steady_clock;

// Milliseconds of each image, step by step.
struct Times {
    std::vector<double> preprocess, inference, postprocess;
};

double milliseconds(Clock::time_point start, Clock::time_point end) {
    return std::chrono::duration<double, std::milli>(end - start).count();
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

bool has_resize(const std::vector<Undo>& undo) {
    return std::any_of(undo.begin(), undo.end(), [](const Undo& step) { return step.kind == Undo::Kind::kResize; });
}

Labels labels_of(Planes scores, const std::vector<Undo>& undo, bool is_softmax) {
    // Between probabilities no straight line leads where one between logits does.
    if (is_softmax && has_resize(undo)) scores = logarithms(std::move(scores));
    return to_labels(undo_scores(std::move(scores), undo));
}

Labels predict(Model& model, const Description& description, const Picture& picture, Times& times) {
    const auto start = Clock::now();
    const Transformed input = run_transforms(description.transforms, to_planes(picture));
    const auto transformed = Clock::now();
    auto output = model.run(input.image);
    const auto computed = Clock::now();
    Labels labels = std::holds_alternative<Labels>(output)
                        ? undo_labels(std::move(std::get<Labels>(output)), input.undo)
                        : labels_of(std::move(std::get<Planes>(output)), input.undo, description.is_softmax);
    times.preprocess.push_back(milliseconds(start, transformed));
    times.inference.push_back(milliseconds(transformed, computed));
    times.postprocess.push_back(milliseconds(computed, Clock::now()));
    return labels;
}

// All three pictures before the first is written: an image has all of its results or none.
void write_results(const std::filesystem::path& folder, const ImageFile& image, const Picture& picture,
                   const Labels& labels, const Palette& palette) {
    const Bytes ids = encode_labels(labels);
    const Bytes colours = encode_painted(labels, palette);
    const Bytes added = encode_picture(overlay(picture, labels, palette));
    const std::string name = image.name + ".png";
    write_file(folder / kResultFolders[0] / name, ids);
    write_file(folder / kResultFolders[1] / name, colours);
    write_file(folder / kResultFolders[2] / name, added);
    write_file(folder / (image.top_name + ".png"), colours);
}

// Makes sure that no result takes the place of an image that is to be predicted.
void refuse_overwriting(const std::vector<ImageFile>& images, const std::filesystem::path& folder) {
    std::error_code error;
    std::set<std::filesystem::path> inputs;
    for (const ImageFile& image : images) inputs.insert(std::filesystem::weakly_canonical(image.path, error));
    for (const ImageFile& image : images) {
        std::vector<std::filesystem::path> targets = {folder / (image.top_name + ".png")};
        for (const char* const kind : kResultFolders) targets.push_back(folder / kind / (image.name + ".png"));
        for (const auto& target : targets) {
            if (inputs.count(std::filesystem::weakly_canonical(target, error)) > 0) {
                throw UserError("--save_dir " + folder.string() + ": the result " + target.string() +
                                " would take the place of an image of --image_path; choose another folder");
            }
        }
    }
}

// Files and libraries may bring line breaks into a message.
void report(const char* kind, std::string message) {
    std::replace(message.begin(), message.end(), '\n', ' ');
    std::cerr << kind << message << '\n';
}

// Reports a bad image and returns false; the others go on.
bool attempt(const ImageFile& image, const std::function<void()>& body) {
    std::string reason;
    try {
        body();
        return true;
    } catch (const ImageError& error) {
        reason = error.what();
    } catch (const std::bad_alloc&) {
        reason = "out of memory";
    }
    report("[ERROR] skipped: ", image.path.string() + ": " + reason);
    return false;
}

void print_times(const Times& times, std::size_t threads, const std::string& precision) {
    if (times.inference.empty()) return;
    const double whole = median(times.preprocess) + median(times.inference) + median(times.postprocess);
    std::printf("[BENCHMARK] engine: openvino (C++), precision: %s, threads: %zu, images: %zu, preprocess_ms: %.2f, "
                "inference_ms: %.2f, postprocess_ms: %.2f, total_ms: %.2f\n",
                precision.c_str(), threads, times.inference.size(), median(times.preprocess),
                median(times.inference), median(times.postprocess), whole);
}

int run(const std::vector<std::string>& words) {
    const Arguments arguments = parse_arguments(words);
    if (arguments.help) {
        std::cout << kUsage;
        return kOk;
    }
    const int threads = arguments.threads > 0 ? arguments.threads : available_cores();
    const Description description = read_description(arguments.config);
    const auto images = find_images(arguments.image_path);
    refuse_overwriting(images, arguments.save_dir);
    Model model(description, arguments.precision, threads);
    make_writable(arguments.save_dir);
    const Palette palette = make_palette(description.palette);
    Times times, warm_up;
    std::size_t failed = 0;
    for (const ImageFile& image : images) {
        const bool is_first = &image == &images.front();
        const bool is_done = attempt(image, [&] {
            const Picture picture = read_picture(image.path, description.channels());
            if (arguments.benchmark && is_first) predict(model, description, picture, warm_up);
            write_results(arguments.save_dir, image, picture, predict(model, description, picture, times), palette);
        });
        if (!is_done) ++failed;
    }
    if (arguments.benchmark) print_times(times, static_cast<std::size_t>(threads), arguments.precision);
    std::cout << "[DONE] " << images.size() - failed << " of " << images.size() << " images; results in "
              << arguments.save_dir << '\n';
    return failed > 0 ? kFailed : kOk;
}

}  // namespace

}  // namespace segment

int main(int count, char** words) {
    try {
        return segment::run({words + 1, words + count});
    } catch (const std::bad_alloc&) {
        segment::report("error: ", "out of memory");
    } catch (const std::exception& error) {  // a UserError, or a library's
        segment::report("error: ", error.what());
    }
    return segment::kUsageError;
}
