// Copies between strided arrays of one shape, on all threads.
#pragma once

#include "types.h"

namespace tl {

constexpr int kMostAxes = 64;

struct CopyAxis {
    Index count, to, from;  // strides in bytes
};

// Axes in any order, which they lose; elements of `size` bytes. The two must not share memory.
void copy_strided(char* to, const char* from, CopyAxis* axes, int count, Index size);

}  // namespace tl
