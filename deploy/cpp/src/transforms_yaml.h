// Transforms from deploy.yaml.
#pragma once

#include <yaml-cpp/yaml.h>

#include <vector>

#include "transforms.h"

namespace segment {

// `blocks`: the list of transforms; null stands for none. `channels`: of the images.
// Throws UserError, naming the transform and the parameter.
std::vector<Transform> read_transforms(const YAML::Node& blocks, std::size_t channels);

}  // namespace segment
