// Rows held by a few neighbouring lanes each, and tiles of rows in shared memory: for products of
// many rows of up to 128 elements with many others.
#pragma once

namespace tl {

// A block holds 32 rows and passes over tiles of 32 rows of the other side in shared memory. A row
// is held by a few neighbouring lanes, each with every so many of its elements in registers.
constexpr int kRows = 32, kThreads = 128;

template <typename A>
constexpr int kShare = sizeof(A);  // lanes per row: 4 for float, 8 for double

// `count` elements of a row of 128 at most: those that belong to this lane, in packs of 16 bytes.
template <typename A, int count>
struct Held {
    static constexpr int wide = 16 / sizeof(A), dims = count * kShare<A>;
    A element[count] = {};

    static TL_INLINE int dim(int i) {
        return (i / wide * kShare<A> + int(threadIdx.x) % kShare<A>) * wide + i % wide;
    }
    template <typename T>
    TL_INLINE void read(const T* row, Index length) {
#pragma unroll
        for (int i = 0; i < count; ++i) element[i] = dim(i) < length ? A(row[dim(i)]) : A(0);
    }
    template <typename T>
    TL_INLINE void write(T* row, Index length) const {
#pragma unroll
        for (int i = 0; i < count; ++i)
            if (dim(i) < length) row[dim(i)] = T(element[i]);
    }
    // This row times another, the same in all lanes of the row.
    template <typename T>
    TL_INLINE A dot(const T* row, Index length = dims) const {
        A sum = 0;
#pragma unroll
        for (int i = 0; i < count; ++i)
            if (length == dims || dim(i) < length) sum += element[i] * A(row[dim(i)]);
#pragma unroll
        for (int step = 1; step < kShare<A>; step *= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, step);
        return sum;
    }
    TL_INLINE void add(A factor, const A* row) {
#pragma unroll
        for (int i = 0; i < count; ++i) element[i] += factor * row[dim(i)];
    }
    TL_INLINE void scale(A factor) {
#pragma unroll
        for (int i = 0; i < count; ++i) element[i] *= factor;
    }
};

// Rows first … first + tile of an array in shared memory, zero beyond its end. Double takes half as
// many.
template <typename A>
constexpr int kTile = kRows * 4 / sizeof(A);

template <int dims, typename A, typename T>
TL_INLINE void load_tile(A* shared, Rows<T> data, Index first, Index rows, Index dim) {
#pragma unroll 1
    for (int i = threadIdx.x; i < kTile<A> * dims; i += kThreads) {
        const Index row = first + i / dims;
        shared[i] = row < rows && i % dims < dim ? A(data[row][i % dims]) : A(0);
    }
}

// The rows of this block that this thread's lanes hold, one after the other; body(row, inside).
template <typename A, typename F>
TL_INLINE void each_held_row(Index first, Index rows, const F& body) {
    constexpr int together = kThreads / kShare<A>;
    for (int start = 0; start < kRows; start += together) {
        const Index row = first + start + threadIdx.x / kShare<A>;
        body(row < rows ? row : rows - 1, row < rows);
    }
}

// body(memory, held_type) for the least number of elements per lane that holds `dim` of them.
template <typename A, typename F>
TL_INLINE void with_dims(Index dim, const F& body) {
    __shared__ __align__(16) A memory[2 * kTile<A> * 128];
    if (dim <= 32)
        body(memory, Held<A, 32 / kShare<A>>());
    else if (dim <= 64)
        body(memory, Held<A, 64 / kShare<A>>());
    else
        body(memory, Held<A, 128 / kShare<A>>());
}

}  // namespace tl
