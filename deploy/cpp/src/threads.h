// The processor.
#pragma once

namespace segment {

// The cores that this process may use.
int available_cores();

}  // namespace segment
