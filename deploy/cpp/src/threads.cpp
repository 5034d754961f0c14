#include "threads.h"

#include <sched.h>

#include <algorithm>
#include <thread>

namespace segment {

int available_cores() {
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
    // More than 1024 of them do not fit into the set.
    return static_cast<int>(std::max(std::thread::hardware_concurrency(), 1U));
}

}  // namespace segment
