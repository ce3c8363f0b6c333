// Large arrays are written past the caches: an ordinary store first reads the line that it is to
// overwrite, a third of the traffic of y = f(x), and pushes out what is still wanted.
//
// Such stores must be of whole vectors: results are made in a buffer that stays in the cache, or of a
// row in registers, and stored from there. So kernels know nothing of it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "types.h"

namespace tl {

#if defined(__AVX__)
typedef float Vector __attribute__((vector_size(32)));
#else
typedef float Vector __attribute__((vector_size(16)));
#endif

TL_INLINE void store_past(void* to, Vector value) {
#if defined(__clang__)
    __builtin_nontemporal_store(value, (Vector*)to);
#elif defined(__AVX__)
    __builtin_ia32_movntps256((float*)to, value);
#elif defined(__SSE__)
    __builtin_ia32_movntps((float*)to, value);
#else
    *(Vector*)to = value;
#endif
}

constexpr size_t kCacheLine = 64;

// How far ahead inputs are asked for while results are stored.
constexpr Index kAhead = 8192;  // bytes

// Whether an array is larger than what will be left of it in a cache when it is read.
TL_INLINE bool is_large(const void* data, size_t bytes) {
    constexpr size_t kLarge = 16 << 20;
    return bytes >= kLarge && (uintptr_t)data % sizeof(Vector) == 0;
}

// Copies `from`; meanwhile asks for as many bytes from `next` and `next_too`.
TL_APART inline void write_past(void* to, const void* from, size_t bytes,
                                                 const void* next = nullptr,
                                                 const void* next_too = nullptr) {
    if (((uintptr_t)to | bytes) % sizeof(Vector)) {
        std::memcpy(to, from, bytes);
        return;
    }
    for (size_t at = 0; at < bytes; at += sizeof(Vector)) {
        if (at % kCacheLine == 0) {
            __builtin_prefetch((const char*)next + at);
            __builtin_prefetch((const char*)next_too + at);
        }
        Vector value;
        std::memcpy(&value, (const char*)from + at, sizeof value);
        store_past((char*)to + at, value);
    }
}

// Such stores are not ordered by others: before another thread is told of them they must be done.
inline void all_written() { std::atomic_thread_fence(std::memory_order_seq_cst); }

// Elements that are made before they are written so.
constexpr Index kBlock = 256;

// An array that a map reads or writes: where it is, and bytes per element.
struct Stream {
    char* data = nullptr;
    Index size = 0;
    char* at(Index i) const { return data + i * size; }
};

// Those of one map: the output, if it has one, and the last two inputs.
struct Streams {
    Stream output, input, input_too;
};

// Puts what a map makes of `count` elements from `first` on into `block`.
using MakeBlock = void (*)(void* context, Index first, Index count, void* block);

// Runs `make` over a partition of n elements; of a large output a small block at a time.
TL_SHARED void run_blocks(Index n, Streams streams, MakeBlock make, void* context);

}  // namespace tl
