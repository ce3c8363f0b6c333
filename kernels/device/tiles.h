// Products of tiles on tensor cores: 16-bit operands, or float32 rounded to TF32, in shared memory,
// float sums in registers. Who holds what is said here and nowhere else.
//
//     Tile<T, rows, dims>  rows × dims elements in shared memory
//     TileRows<T, dims>    the rows of an array that are copied there, while the block computes
//     TilePairs<T, dims, n>  tiles of n rows of two arrays, pair after pair
//     Reader<T, dims>      where a lane reads a tile as a right operand
//     LeftInMemory<T, k>   where it reads 16 rows of k elements as a left operand
//     Left<T, k>           these rows, held by the warp
//     Sums16<n>            16 × n sums of a warp; `each` tells their rows and columns
//
// Lane 4 g + t of a warp holds of Sums16, in each 8 columns, rows g and g + 8, columns 2 t and 2 t + 1.
#pragma once

#include "tensor_cores.h"

namespace tl {

constexpr int kTileThreads = 128;  // of a block

template <typename T>
constexpr int kInPack = 16 / sizeof(T);  // elements that are copied at a time
template <typename T>
constexpr int kDeep = 32 / sizeof(T);  // elements of a row that one instruction multiplies

// Packs of a row are permuted so that eight rows at one column lie in different banks.
template <typename T, int kRows, int kDims>
struct Tile {
    static constexpr int kPacks = kDims / kInPack<T>;
    T element[kRows * kDims];

    TL_INLINE T* at(int row, int pack) {
        return element + row * kDims + ((pack ^ (row & 7)) * kInPack<T>);
    }
};

// Shared memory of a block: what a declaration asks for, in bytes, where it is more than 48 KB.
template <typename M>
TL_INLINE M& in_shared_memory() {
    if constexpr (sizeof(M) <= 48 * 1024) {
        __shared__ __align__(16) M memory;
        return memory;
    } else {
        extern __shared__ __align__(16) unsigned char asked_for[];
        return *(M*)asked_for;
    }
}

// Rows `first` … `count` of an array, tile by tile, then zeros; zeros behind a row's last element,
// too. They lie 16 bytes by 16 bytes. A thread copies the same pack of every so many-th row.
template <typename T, int kDims>
struct TileRows {
    static constexpr int kPacks = kDims / kInPack<T>, kApart = kTileThreads / kPacks;
    const char* from;
    int step;  // packs
    int left;    // rows from this thread's next one on

    // Where a loop makes one each time, nothing is kept for the next: its inner loop needs registers.
    TL_INLINE TileRows(Rows<const T> rows, int first, int count, int dim)
        : step((int)(kApart * rows.stride / kInPack<T>)) {
        const int thread = (int)computed_anew(threadIdx.x), element = thread % kPacks * kInPack<T>;
        from = (const char*)(rows[first + thread / kPacks] + element);
        left = element < dim ? count - first - thread / kPacks : 0;
    }

    // The next `rows` of them to a tile, whose own rows begin here; `left` of them are there.
    template <int rows>
    TL_INLINE void copy(uint32_t to, int left) {
        static_assert(rows % kApart == 0, "");
        const int row = (int)threadIdx.x / kPacks, pack = (int)threadIdx.x % kPacks;
        const uint32_t even = row * kDims * sizeof(T) + (pack ^ (row & 7)) * 16;
        // Of rows that are four apart, the permutation differs by four.
        const uint32_t places[2] = {to + even, to + (kApart % 8 == 0 ? even : even ^ 64)};
#pragma unroll
        for (int n = 0; n < rows / kApart; ++n) {
            copy_pack(places[n % 2] + n * kApart * kDims * (int)sizeof(T), from, n * kApart < left);
            from += (Index)step * 16;
        }
    }
    template <int rows>
    TL_INLINE void copy(uint32_t to) {
        copy<rows>(to, left);
        left -= rows;
    }
};

// Where a lane reads tiles as right operands, the rows of which begin at a place in shared memory.
// Packs' permutation leaves four places, or eight; the others are at constant distances.
template <typename T, int kDims>
struct Reader {
    static constexpr int kAlong = sizeof(T) == 2 ? 4 : 8;
    uint32_t across[4];      // of a tile's rows, as left · tileᵀ needs them
    uint32_t along[kAlong];  // of its columns, as left · tile needs them

    TL_INLINE explicit Reader(uint32_t tile) {
        const int lane = computed_anew(threadIdx.x) % 32, row = lane % 8 + lane / 16 * 8;
#pragma unroll
        for (int s = 0; s < 4; ++s)
            across[s] = tile + place(row, (2 * s + lane / 8 % 2) ^ (lane & 7));
#pragma unroll
        for (int j = 0; j < kAlong; ++j)
            if constexpr (sizeof(T) == 2) {
                along[j] = tile + place(lane % 16, (2 * j + lane / 16) ^ (lane & 7));
            } else {  // rows 2 t and 2 t + 1, columns g and g + 8, 16 columns or 32
                const int row = lane % 4 * 2 + j % 2;
                along[j] = tile + place(row, (j / 2 * 2 + lane / 16) ^ row) + lane / 4 % 4 * 4;
            }
    }
    static TL_INLINE constexpr int place(int row, int pack) {
        return row * kDims * (int)sizeof(T) + pack * 16;
    }
    TL_INLINE void move(int bytes) {
#pragma unroll
        for (int s = 0; s < 4; ++s) across[s] += bytes;
#pragma unroll
        for (int j = 0; j < kAlong; ++j) along[j] += bytes;
    }
};

// Tiles of the same rows of two arrays, pair after pair, in memory for two pairs: the next one is on
// its way while the block works on this one, whose first tile begins where `tile` reads, the second
// kRows rows further on.
template <typename T, int kDims, int kRows>
struct TilePairs {
    static constexpr int kBytes = kRows * kDims * sizeof(T), kPair = 2 * kBytes;
    TileRows<T, kDims> a, b;
    Reader<T, kDims> tile;
    uint32_t memory;
    int at = 0;  // where this pair is: in the first half of the memory, or in the second

    // Rows `first` … `count`.
    TL_INLINE TilePairs(uint32_t memory, Rows<const T> a, Rows<const T> b, int first, int count, int dim)
        : a(a, first, count, dim), b(b, first, count, dim), tile(memory), memory(memory) {
        if (first < count) fetch(0);
    }

    TL_INLINE void fetch(int place) {
        a.template copy<kRows>(memory + place, a.left);
        b.template copy<kRows>(memory + place + kBytes, a.left);  // as many as of the other
        a.left -= kRows;
        end_batch();
    }

    // This pair is there, for all threads, and the next one is sent for.
    TL_INLINE void arrive(bool another) {
        arrived<0>();
        if (another) fetch(kPair - at);
    }
    TL_INLINE void go_on() { tile.move(kPair - 2 * at), at = kPair - at; }
};

// Where a lane reads 16 rows of a tile, from `first` on, as a left operand, of k elements each. As in
// Reader, four places are enough.
template <typename T, int k>
struct LeftInMemory {
    uint32_t place[4];

    LeftInMemory() = default;
    TL_INLINE LeftInMemory(uint32_t tile, int first) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int s = 0; s < 4; ++s)
            place[s] = tile + Reader<T, k>::place(first + lane % 16, (2 * s + lane / 16) ^ (lane & 7));
    }
    // Rows that are so many further on, of whole 8.
    TL_INLINE LeftInMemory further(int rows) const {
        LeftInMemory other;
#pragma unroll
        for (int s = 0; s < 4; ++s) other.place[s] = place[s] + Reader<T, k>::place(rows, 0);
        return other;
    }
    TL_INLINE void read(uint32_t (&to)[4], int s) const {
        read_operand<T>(to, place[s % 4] + Reader<T, k>::place(0, s / 4 * 8));
    }
};

// The same in registers, if there are enough.
template <typename T, int k>
struct Left {
    uint32_t part[k / kDeep<T>][4];

    Left() = default;
    TL_INLINE explicit Left(const LeftInMemory<T, k>& rows) {
#pragma unroll
        for (int s = 0; s < k / kDeep<T>; ++s) rows.read(part[s], s);
    }
};

template <int n>
struct Sums16 {
    float part[n / 8][4];

    TL_INLINE void clear() {
#pragma unroll
        for (int j = 0; j < n / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) part[j][i] = 0;
    }

    // f(sum, 0 for row g or 1 for row g + 8, column, number of the column among the lane's)
    template <typename F>
    TL_INLINE void each(const F& f) {
        const int pair = threadIdx.x % 4 * 2;
#pragma unroll
        for (int j = 0; j < n / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) f(part[j][i], i / 2, j * 8 + pair + i % 2, j * 2 + i % 2);
    }

    // += left · tileᵀ: of n rows of the tile, from row `first` on, and of its columns from `skipped` on.
    template <int first, int skipped = 0, typename T, int k, int dims>
    TL_INLINE void add_transposed(const Left<T, k>& left, const Reader<T, dims>& tile) {
#pragma unroll
        for (int s = 0; s < k / kDeep<T>; ++s)
            add_columns<first>(left.part[s], tile, skipped / kDeep<T> + s);
    }
    template <int first, int skipped = 0, typename T, int k, int dims>
    TL_INLINE void add_transposed(const LeftInMemory<T, k>& left, const Reader<T, dims>& tile) {
#pragma unroll
        for (int s = 0; s < k / kDeep<T>; ++s) {
            uint32_t a[4];
            left.read(a, s);
            add_columns<first>(a, tile, skipped / kDeep<T> + s);
        }
    }
    template <int first, typename T, int dims>
    TL_INLINE void add_columns(const uint32_t (&a)[4], const Reader<T, dims>& tile, int s) {
#pragma unroll
        for (int j = 0; j < n / 16; ++j) {
            uint32_t b[4];
            read_operand<T>(b, tile.across[s % 4] + tile.place(first + j * 16, s / 4 * 8));
            multiply_add<T>(part[2 * j], a, b[0], b[1]);
            multiply_add<T>(part[2 * j + 1], a, b[2], b[3]);
        }
    }

    // += left · tile, k rows of n elements, from row `first` on, where `left` comes from as_left.
    template <int first, typename T, int k>
    TL_INLINE void add(const Left<T, k>& left, const Reader<T, n>& tile) {
#pragma unroll
        for (int s = 0; s < k / kDeep<T>; ++s)
#pragma unroll
            for (int j = 0; j < n / 16; ++j) {
                uint32_t b[4];
                if constexpr (sizeof(T) == 2) {
                    read_transposed(b, tile.along[j % 4] + tile.place(first + s * 16, j / 4 * 8));
                } else {
#pragma unroll
                    for (int i = 0; i < 4; ++i)
                        b[i] = as_tf32(read_word(tile.along[j % 2 * 4 + i] +
                                                 tile.place(first + s * 8, j / 2 * 8)));
                }
                multiply_add<T>(part[2 * j], left.part[s], b[0], b[1]);
                multiply_add<T>(part[2 * j + 1], left.part[s], b[2], b[3]);
            }
    }

    // The sums, rounded, as a left operand: a lane already holds what it needs. Of float32 a lane
    // multiplies columns t and t + 4; the sum over columns may take 2 t and 2 t + 1 in their place.
    template <typename T>
    TL_INLINE Left<T, n> as_left() const {
        Left<T, n> left;
#pragma unroll
        for (int s = 0; s < n / kDeep<T>; ++s)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                if constexpr (sizeof(T) == 2) {
                    const float* two = part[2 * s + i / 2] + i % 2 * 2;
                    left.part[s][i] = joined<T>(two[0], two[1]);
                } else {
                    left.part[s][i] = as_tf32(bits_of(part[s][i % 2 * 2 + i / 2]));
                }
            }
        return left;
    }

    // Row g of row0 and row g + 8 of row8, where they are inside, times their factors. An even
    // number of elements.
    template <typename T>
    TL_INLINE void write(T* row0, T* row8, int dim, float factor0, float factor8) const {
        const int pair = threadIdx.x % 4 * 2;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            T* row = half ? row8 : row0;
            const float factor = half ? factor8 : factor0;
            if (!row) continue;
#pragma unroll
            for (int j = 0; j < n / 8; ++j) {
                const float a = part[j][half * 2] * factor, b = part[j][half * 2 + 1] * factor;
                if (j * 8 + pair >= dim) continue;
                if constexpr (sizeof(T) == 2)
                    *(uint32_t*)(row + j * 8 + pair) = joined<T>(a, b);
                else
                    *(float2*)(row + j * 8 + pair) = float2{a, b};
            }
        }
    }
};

// Over the four lanes that share a row of Sums16.
TL_INLINE float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
TL_INLINE float row_total(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

}  // namespace tl
