// The command line.
#pragma once

#include <string>
#include <vector>

namespace segment {

struct Arguments {
    std::string config;
    std::string image_path;
    std::string save_dir = "./output";
    std::string precision = "fp32";
    int threads = 0;  // 0: the cores that this process has
    bool benchmark = false;
    bool help = false;
};

extern const char* const kUsage;

// Reads `--flag value` and `--flag=value`; of a repeated flag the last one counts.
// Throws UserError for an unknown flag, a wrong value or a missing flag.
Arguments parse_arguments(const std::vector<std::string>& words);

}  // namespace segment
