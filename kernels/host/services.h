// What generated kernels need of the extension, which they are loaded beside: its pool, its scratch
// memory. They get it as a table of functions.
#pragma once

#include "stream.h"

namespace tl {

struct Services {
    void (*run_blocks)(Index n, Streams streams, MakeBlock make, void* context);
    void (*run_range)(Index count, Index grain, void (*task)(void* context, Index begin, Index end),
                      void* context);
    void* (*take_scratch)(size_t& bytes);
    void (*give_back_scratch)(void* memory, size_t bytes);
};

// A generated kernel: where its arrays are, its numbers, and its lengths and strides.
using Fused = void (*)(void* const* at, const double* numbers, const Index* sizes);

}  // namespace tl
