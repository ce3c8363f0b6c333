// Matrix products whose operands come from anywhere: out = A · Bᵀ, of kRows rows of A and 128 of B a
// block of 256 threads, of which a depth of 64 bytes is in shared memory at a time, twice: while a
// strip is multiplied, the next is on its way. Tensor cores multiply 16-bit floats, and float32 that
// may be rounded to TF32; the ordinary units everything else.
//
//     Strip<T, rows>        rows × 64 bytes in shared memory, in chunks of 16 bytes
//     TensorSums<T, kRows>  what a warp has of the product: `add<half>(a, b)` of strips,
//     UnitSums<T, kRows>    `each(f(sum, row, column))`
//     multiply_strips       the loop over strips
#pragma once

#include "tensor_cores.h"

namespace tl {

constexpr int kStripThreads = 256, kStripColumns = 128, kStripBytes = 64;

template <typename T, int kRows>
struct Strip {
    static constexpr int kPack = 16 / sizeof(T), kDepth = kStripBytes / sizeof(T);
    T element[kRows * kDepth];

    // Chunks are permuted so that eight rows at one depth lie in different banks.
    TL_INLINE T* at(int row, int chunk) {
        return element + row * kDepth + (chunk ^ (row >> 1 & 3)) * kPack;
    }
    TL_INLINE T& of(int row, int depth) { return at(row, depth / kPack)[depth % kPack]; }
};

// Sixteen bytes, which may arrive later where the chip can do that.
TL_INLINE void copy_ahead(void* target, const void* source) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(target)), "l"(source)
                 : "memory");
#else
    *(uint4*)target = *(const uint4*)source;
#endif
}
TL_INLINE void all_arrived() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
    __syncthreads();
}

// Where a warp's part of the product begins: two warps share the columns, four the rows.
template <int kRows>
TL_INLINE int first_row() { return (int)threadIdx.x / 128 * (kRows / 2); }
TL_INLINE int first_column() { return (int)threadIdx.x / 32 % 4 * 32; }

// kRows / 2 rows by 32 columns a warp, on tensor cores.
template <typename T, int kRows>
struct TensorSums {
    static constexpr int kBlocks = kRows / 32;
    static constexpr bool kInHalves = sizeof(T) == 4;
    float part[kBlocks][4][4];

    TL_INLINE void clear() {
#pragma unroll
        for (int i = 0; i < kBlocks * 16; ++i) part[i / 16][i / 4 % 4][i % 4] = 0;
    }

    template <int half>
    TL_INLINE void add(Strip<T, kRows>& a, Strip<T, kStripColumns>& b) {
        const int lane = threadIdx.x % 32, row = first_row<kRows>(), column = first_column();
        uint32_t right[2][4];
#pragma unroll
        for (int j = 0; j < 2; ++j)
            read_operand<T>(right[j], shared_address(b.at(column + j * 16 + lane % 8 + lane / 16 * 8,
                                                          2 * half + lane / 8 % 2)));
#pragma unroll
        for (int i = 0; i < kBlocks; ++i) {
            uint32_t left[4];
            read_operand<T>(left, shared_address(a.at(row + i * 16 + lane % 16, 2 * half + lane / 16)));
#pragma unroll
            for (int j = 0; j < 4; ++j)
                multiply_add<T>(part[i][j], left, right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
        }
    }

    template <typename F>
    TL_INLINE void each(const F& f) {
        const int lane = threadIdx.x % 32;
        const int row = first_row<kRows>() + lane / 4, column = first_column() + lane % 4 * 2;
#pragma unroll
        for (int i = 0; i < kBlocks; ++i)
#pragma unroll
            for (int half = 0; half < 2; ++half)
#pragma unroll
                for (int j = 0; j < 4; ++j)
                    f(part[i][j][half * 2], part[i][j][half * 2 + 1], row + i * 16 + half * 8,
                      column + j * 8, 1);
    }
};

// The same on the ordinary units, of float or double.
template <typename T, int kRows>
struct UnitSums {
    static constexpr int kDown = kRows / 16, kAcross = 8, kPack = 16 / sizeof(T);
    static constexpr bool kInHalves = false;
    T part[kDown][kAcross];

    TL_INLINE void clear() {
#pragma unroll
        for (int i = 0; i < kDown * kAcross; ++i) part[i / kAcross][i % kAcross] = 0;
    }

    // In one piece: it is a loop.
    template <int half>
    TL_INLINE void add(Strip<T, kRows>& a, Strip<T, kStripColumns>& b) {
        if (half == 0) return;
        const int row = first_row<kRows>() + threadIdx.x % 32 / 4;
        const int column = first_column() + threadIdx.x % 4;
        struct alignas(16) Chunk { T value[kPack]; } left[kDown];
#pragma unroll 1
        for (int chunk = 0; chunk < 4; ++chunk) {
#pragma unroll
            for (int i = 0; i < kDown; ++i) left[i] = *(Chunk*)a.at(row + i * 8, chunk);
#pragma unroll
            for (int j = 0; j < kAcross; ++j) {
                const Chunk right = *(Chunk*)b.at(column + j * 4, chunk);
#pragma unroll
                for (int i = 0; i < kDown; ++i)
#pragma unroll
                    for (int e = 0; e < kPack; ++e) part[i][j] += left[i].value[e] * right.value[e];
            }
        }
    }

    template <typename F>
    TL_INLINE void each(const F& f) {
        const int row = first_row<kRows>() + threadIdx.x % 32 / 4;
        const int column = first_column() + threadIdx.x % 4;
#pragma unroll
        for (int i = 0; i < kDown; ++i)
#pragma unroll
            for (int j = 0; j < kAcross; j += 2)
                f(part[i][j], part[i][j + 1], row + i * 8, column + j * 4, 4);
    }
};

// The sums of strips first … last - 1. `left.fill(strip, s)` copies strip s of A; `right.load<half>(s)`
// takes half of strip s of B into registers, and `right.store<half>(strip)` puts it down: of TF32 while
// half of the strip before is multiplied, for want of registers.
template <typename T, int kRows, typename Sums, typename Left, typename Right>
TL_INLINE void multiply_strips(Sums& sums, Strip<T, kRows> (&a)[2], Strip<T, kStripColumns> (&b)[2],
                               int first, int last, Left& left, Right& right) {
    if (first >= last) return;
    left.fill(a[0], first);
    right.template load<0>(first);
    right.template store<0>(b[0]);
    right.template load<1>(first);
    right.template store<1>(b[0]);
    for (int s = first, stage = 0; s < last; ++s, stage ^= 1) {
        const bool more = s + 1 < last;
        all_arrived();  // and all have read what the next strip is written over
        if (more) {
            left.fill(a[stage ^ 1], s + 1);
            right.template load<0>(s + 1);
            if (!Sums::kInHalves) right.template load<1>(s + 1);
        }
        sums.template add<0>(a[stage], b[stage]);
        if (more && Sums::kInHalves) {
            right.template store<0>(b[stage ^ 1]);
            right.template load<1>(s + 1);
        }
        sums.template add<1>(a[stage], b[stage]);
        if (more) {
            if (!Sums::kInHalves) right.template store<0>(b[stage ^ 1]);
            right.template store<1>(b[stage ^ 1]);
        }
    }
}

}  // namespace tl
