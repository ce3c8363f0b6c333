// The language kernels are written in. README.md explains it with an example; in short:
//
//     EACH(n)           declares a kernel that runs one element per lane         -> map(n, f, ...)
//     ROWS(n, columns)  declares a kernel that runs n rows, each by one team     -> each_team(...)
//     BLOCKS(n, threads) declares n CUDA blocks of so many threads, in plain CUDA; a third number
//                       says how many of them a multiprocessor should hold, a fourth how many bytes
//                       of shared memory a block is given besides its own
//     TOGETHER(n, threads, k, bytes)  the same of blocks that wait for one another, all of which run at once:
//                       the caller asks `resident` how many can. A family has no others beside them
//     HOST              declares a function of the host only
//
//     const T* x OF(n)          an input array of exactly n elements
//     T* y OF(n)                an output array
//     const T* b OPTIONAL(n)    the same, or None
//     Heads<const T> q AXES(batch, heads, length, dim), Heads<T> y AXES(…)   rows that lie anywhere
//
//     #define SIZES(T) PARAMETERS(Index rows, …)   parameters that declarations have in common
//
// The declaration is read by tensorlite/backend/kernels/declarations.py: the binding, its checks and the launch
// come from it. A kernel is a template over the element type T and computes in Acc<T>. On the host T
// is 16 bits wide only where it is declared STORED; REAL has no 16-bit types on either device, SHORT
// no others.
#pragma once

#include "types.h"

#define OF(count)
#define OPTIONAL(count)
#define LIKE(array)
#define PER_ROW(array)
#define HYPER(names)
#define NAMES(...) { double __VA_ARGS__; }
#define SUMS(parts, columns)
#define AXES(batch, heads, length, dim)
#define PARAMETERS(...) __VA_ARGS__
#define REAL typename
#define STORED typename
#define SHORT typename

#if defined(__CUDACC__)
// One block per multiprocessor at least: where this is not said, NVRTC spills rather than have one.
#define EACH(n) __global__ __launch_bounds__(256)
#define ROWS(n, columns) __global__ __launch_bounds__(tl::kMaxLanes<T>, 1)
#define BLOCKS(n, threads, ...) __global__ __launch_bounds__(threads, tl::or_one(__VA_ARGS__))
#define TOGETHER(n, threads, blocks, bytes) __global__ __launch_bounds__(threads, blocks)
#define HOST
#else
#define EACH(n)
#define ROWS(n, columns)
#define BLOCKS(n, threads, ...)
#define TOGETHER(n, threads, blocks, bytes)
#define HOST
#endif

namespace tl {

constexpr int or_one(int n = 1, int = 0) { return n; }

// Lanes of the widest team: what leaves registers enough for its rows.
template <typename T>
constexpr int kMaxLanes = sizeof(T) == 8 ? 256 : 512;

// ---- What both devices share: how map() sees its operands -------------------------------------

// An output of map(): its old value is not read.
template <typename T>
struct Out {
    T* data;
};
template <typename T>
TL_INLINE Out<T> out(T* data) {
    return {data};
}

// An operand of map() that is read and written.
template <typename T>
struct InOut {
    T* data;
};
template <typename T>
TL_INLINE InOut<T> inout(T* data) {
    return {data};
}

// The numbers of an array declared HYPER, by name; on CUDA read from memory once per block.
template <typename Numbers>
TL_INLINE const Numbers& once(const double* hyper) {
#if defined(__CUDACC__)
    __shared__ double read[sizeof(Numbers) / sizeof(double)];
    if (threadIdx.x < sizeof(Numbers) / sizeof(double)) read[threadIdx.x] = hyper[threadIdx.x];
    __syncthreads();
    return *(const Numbers*)read;
#else
    return *(const Numbers*)hyper;
#endif
}

// Two sums of a row.
template <typename A>
struct Both {
    A first, second;
};

// The part of [0, count) that falls to one of `parts` teams: the same on every device and for any
// number of threads, which is what makes two-stage reductions deterministic.
struct Share {
    Index first, last;
};
TL_INLINE Share share(Index count, Index part, Index parts) {
    return {count * part / parts, count * (part + 1) / parts};
}

// i % n: by 32 bits where they hold both, as a GPU takes some 80 instructions for 64.
TL_INLINE Index remainder_of(Index i, Index n) {
    return (i | n) >> 32 ? i % n : Index((uint32_t)i % (uint32_t)n);
}

}  // namespace tl

#include "math.h"

#if defined(TL_FUSED)  // generated kernels
#include "fused.h"
#elif defined(__CUDACC__)
#include "device/team.h"
#else
#include "host/team.h"
#endif
