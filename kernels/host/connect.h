// The extension's functions, for generated kernels: to be included in one source of a library.
#pragma once

#include "services.h"
#include "host/workspace.h"

namespace tl {

static const Services* services;

// 0, which the compiler does not know: see `apart`.
extern __attribute__((visibility("default"))) uint64_t opaque_zero;
uint64_t opaque_zero = 0;

void run_blocks(Index n, Streams streams, MakeBlock make, void* context) {
    services->run_blocks(n, streams, make, context);
}
void run_range(Index count, Index grain, void (*task)(void* context, Index begin, Index end),
               void* context) {
    services->run_range(count, grain, task, context);
}
void* take_scratch(size_t& bytes) { return services->take_scratch(bytes); }
void give_back_scratch(void* memory, size_t bytes) { services->give_back_scratch(memory, bytes); }

}  // namespace tl

extern "C" __attribute__((visibility("default"))) void connect(const tl::Services* services) {
    tl::services = services;
}
