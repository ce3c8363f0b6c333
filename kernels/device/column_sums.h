// Sums over the rows of an array by blocks that have 32 of its columns to themselves: 16 lanes share a
// column, and what they found is put together in the same order every time.
#pragma once

namespace tl {

constexpr int kColumnLanes = 32, kRowLanes = 16;

struct ColumnLanes {
    Index first;  // this lane has rows first, first + kRowLanes, …
    bool inside, leader;

    // f(row) reads and gives what to do then; four reads are under way at a time.
    template <typename F>
    TL_INLINE void rows(Share all, const F& f) const {
        Index r = all.first + first;
        for (; inside && r + 3 * kRowLanes < all.last; r += 4 * kRowLanes) {
            const auto a = f(r), b = f(r + kRowLanes), c = f(r + 2 * kRowLanes), d = f(r + 3 * kRowLanes);
            a(), b(), c(), d();
        }
        for (; inside && r < all.last; r += kRowLanes) f(r)();
    }

    // Of all lanes of the column, in the leader.
    template <typename A>
    TL_INLINE A total(A value) const {
        __shared__ A of_lane[kRowLanes][kColumnLanes + 1];
        const int column = threadIdx.x % kColumnLanes, row = threadIdx.x / kColumnLanes;
        of_lane[row][column] = value;
        __syncthreads();
        value = of_lane[0][column];
        if (row == 0) {
#pragma unroll
            for (int i = 1; i < kRowLanes; ++i) value += of_lane[i][column];
        }
        __syncthreads();  // all have read before the next sum is written
        return value;
    }
    // The same, in all lanes.
    template <typename A>
    TL_INLINE A total_for_all(A value) const {
        __shared__ A found[kColumnLanes];
        value = total(value);
        if (leader) found[threadIdx.x] = value;
        __syncthreads();
        value = found[threadIdx.x % kColumnLanes];
        __syncthreads();
        return value;
    }
};

// body(set, column, lanes): a block takes 32 columns of one of several sets. Lanes beyond the last
// column repeat it, and do not write.
template <typename F>
TL_INLINE void each_column(Index columns, const F& body) {
    const uint32_t blocks = (uint32_t)(columns + kColumnLanes - 1) / kColumnLanes;
    const Index set = blockIdx.x / blocks;
    const Index column = (Index)(blockIdx.x % blocks) * kColumnLanes + threadIdx.x % kColumnLanes;
    const bool inside = column < columns;
    const ColumnLanes lanes{threadIdx.x / kColumnLanes, inside, inside && threadIdx.x < kColumnLanes};
    body(set, inside ? column : columns - 1, lanes);
}

}  // namespace tl
