#pragma once

namespace emulation {

// Whether blocks, and the threads of a block, take turns from the last to the first.
void reverse(bool);

}  // namespace emulation
