// Products of tiles on tensor cores (compute capability 8.0 and newer): 16-bit operands (or float32,
// rounded to TF32) in shared memory, float sums in registers. mma.sync's m16n8k16 (and m16n8k8, with
// the same bytes in the same lanes) is the only instruction; who holds what is said here and nowhere
// else.
//
//     Tile<rows, dims>  rows × dims elements in shared memory, filled while the block computes
//     Left<k>           16 rows of k elements of a left operand, held by a warp
//     Sums16<n>         16 × n sums of a warp; `each` tells their rows and columns
//
// Lane 4 g + t of a warp holds of Sums16, in each 8 columns, rows g and g + 8, columns 2 t and 2 t + 1.
#pragma once

namespace tl {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define TL_TENSOR_CORES(...) asm volatile(__VA_ARGS__)
#else
#define TL_TENSOR_CORES(...) asm volatile("trap;")  // these kernels are not called on older chips
#endif

TL_INLINE uint32_t shared_address(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

// What has been copied ahead arrives: all but the last `newer` batches, and then for all threads.
TL_INLINE void end_batch() { TL_TENSOR_CORES("cp.async.commit_group;" ::: "memory"); }
template <int newer>
TL_INLINE void arrived() {
    TL_TENSOR_CORES("cp.async.wait_group %0;" ::"n"(newer) : "memory");
    __syncthreads();
}

// Two floats as two neighbours of 16 bits, the first in the lower half.
template <typename T>
TL_INLINE uint32_t joined(float first, float second) {
    return T(first).bits | (uint32_t)T(second).bits << 16;
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
template <>
TL_INLINE uint32_t joined<f16>(float first, float second) {
    uint32_t both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}
template <>
TL_INLINE uint32_t joined<bf16>(float first, float second) {
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}
#endif

// Rows that are read 16 bytes at a time, if they lie so; their length.
template <typename T>
struct TileRows {
    Rows<const T> rows;
    Index count;
    int dim;
    bool in_packs;

    TL_INLINE TileRows(Rows<const T> rows, Index count, Index dim)
        : rows(rows), count(count), dim((int)dim),
          in_packs(dim % 8 == 0 && (uint64_t)rows.data % 16 == 0 && rows.stride % 8 == 0) {}
};

// Eight neighbours are a chunk of 16 bytes. Chunks of a row are permuted so that eight rows at one
// column lie in different banks.
template <int kRows, int kDims>
struct Tile {
    static constexpr int kChunks = kDims / 8;
    uint16_t element[kRows * kDims];

    TL_INLINE uint16_t* at(int row, int chunk) {
        return element + row * kDims + ((chunk ^ (row & 7)) * 8);
    }

    // Rows first …, zeros beyond the last row and behind the last element of a row.
    template <int threads, typename T>
    TL_INLINE void fill(const TileRows<T>& from, Index first) {
        auto each_chunk = [&](int n, const auto& f) {
            const int i = n * threads + threadIdx.x, row = i / kChunks, chunk = i % kChunks;
            const bool inside = first + row < from.count && chunk * 8 < from.dim;
            f(at(row, chunk), inside ? from.rows[first + row] + chunk * 8 : from.rows.data,
              inside ? from.dim - chunk * 8 : 0);
        };
        constexpr int times = kRows * kChunks / threads;
        static_assert(times * threads == kRows * kChunks, "");
        if (from.in_packs) {
#pragma unroll
            for (int n = 0; n < times; ++n)
                each_chunk(n, [](uint16_t* target, const T* source, int count) {
                    TL_TENSOR_CORES("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                                        shared_address(target)),
                                    "l"(source), "r"(count ? 16 : 0)
                                    : "memory");
                });
        } else {
#pragma unroll 1
            for (int n = 0; n < times; ++n)
                each_chunk(n, [](uint16_t* target, const T* source, int count) {
                    for (int e = 0; e < 8; ++e) target[e] = e < count ? source[e].bits : uint16_t(0);
                });
        }
    }
};

// Four 8 × 8 matrices: lane i tells where row i % 8 of matrix i / 8 is.
TL_INLINE void read_matrices(uint32_t (&to)[4], const uint16_t* row) {
    TL_TENSOR_CORES("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                    : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                    : "r"(shared_address(row))
                    : "memory");
}
TL_INLINE void read_transposed(uint32_t (&to)[4], const uint16_t* row) {
    TL_TENSOR_CORES("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                    : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                    : "r"(shared_address(row))
                    : "memory");
}

template <typename T>
constexpr bool kIsHalf = false;
template <>
constexpr bool kIsHalf<f16> = true;

// Four matrices of 16 bytes a row as an operand; of float32, as four numbers a row, made TF32.
template <typename T>
TL_INLINE void read_operand(uint32_t (&to)[4], const T* row) {
    read_matrices(to, (const uint16_t*)row);
    if constexpr (sizeof(T) == 4)
#pragma unroll
        for (int i = 0; i < 4; ++i) TL_TENSOR_CORES("cvt.rna.tf32.f32 %0, %0;" : "+r"(to[i]));
}

template <typename T>
TL_INLINE void multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    if constexpr (sizeof(T) == 4)
        TL_TENSOR_CORES(
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
            "{%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    else if constexpr (kIsHalf<T>)
        TL_TENSOR_CORES(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
            "{%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    else
        TL_TENSOR_CORES(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, "
            "%7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// 16 rows of a left operand, k elements of each.
template <int k>
struct Left {
    uint32_t part[k / 16][4];

    template <int rows, int dims>
    TL_INLINE void read(Tile<rows, dims>& tile, int first) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int s = 0; s < k / 16; ++s)
            read_matrices(part[s], tile.at(first + lane % 16, 2 * s + lane / 16));
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

    // += left · tileᵀ: of n rows of the tile, from `first` on.
    template <typename T, int k, int rows, int dims>
    TL_INLINE void add_transposed(const Left<k>& left, Tile<rows, dims>& tile, int first = 0) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int s = 0; s < k / 16; ++s)
#pragma unroll
            for (int j = 0; j < n / 16; ++j) {
                uint32_t b[4];
                read_matrices(b, tile.at(first + j * 16 + lane % 8 + lane / 16 * 8,
                                         2 * s + lane / 8 % 2));
                multiply_add<T>(part[2 * j], left.part[s], b[0], b[1]);
                multiply_add<T>(part[2 * j + 1], left.part[s], b[2], b[3]);
            }
    }

    // The same of 16 rows of a tile, from row `at` on, which are not kept.
    template <typename T, int left_rows, int rows, int dims>
    TL_INLINE void add_transposed(Tile<left_rows, dims>& left, int at, Tile<rows, dims>& tile) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int s = 0; s < dims / 16; ++s) {
            uint32_t a[4];
            read_matrices(a, left.at(at + lane % 16, 2 * s + lane / 16));
#pragma unroll
            for (int j = 0; j < n / 16; ++j) {
                uint32_t b[4];
                read_matrices(b, tile.at(j * 16 + lane % 8 + lane / 16 * 8, 2 * s + lane / 8 % 2));
                multiply_add<T>(part[2 * j], a, b[0], b[1]);
                multiply_add<T>(part[2 * j + 1], a, b[2], b[3]);
            }
        }
    }

    // += left · tile, k rows of n elements, from row `first` on.
    template <typename T, int k, int rows, int dims>
    TL_INLINE void add(const Left<k>& left, Tile<rows, dims>& tile, int first = 0) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int s = 0; s < k / 16; ++s)
#pragma unroll
            for (int j = 0; j < n / 16; ++j) {
                uint32_t b[4];
                read_transposed(b, tile.at(first + s * 16 + lane % 16, 2 * j + lane / 16));
                multiply_add<T>(part[2 * j], left.part[s], b[0], b[1]);
                multiply_add<T>(part[2 * j + 1], left.part[s], b[2], b[3]);
            }
    }

    // The sums, rounded, as a left operand: a lane already holds what it needs.
    template <typename T>
    TL_INLINE Left<n> as_left() const {
        Left<n> left;
#pragma unroll
        for (int s = 0; s < n / 16; ++s)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float* two = part[2 * s + i / 2] + i % 2 * 2;
                left.part[s][i] = joined<T>(two[0], two[1]);
            }
        return left;
    }

    // Row g of row0 and row g + 8 of row8, where they are inside, times their factors.
    template <typename T>
    TL_INLINE void write(T* row0, T* row8, Index dim, float factor0, float factor8) const {
        const int pair = threadIdx.x % 4 * 2;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            T* row = half ? row8 : row0;
            const float factor = half ? factor8 : factor0;
            const bool pairs = dim % 2 == 0 && (uint64_t)row % 4 == 0;
            if (!row) continue;
#pragma unroll
            for (int j = 0; j < n / 8; ++j) {
                const int column = j * 8 + pair;
                const float a = part[j][half * 2] * factor, b = part[j][half * 2 + 1] * factor;
                if (pairs) {
                    if (column < dim) *(uint32_t*)(row + column) = joined<T>(a, b);
                } else {
                    if (column < dim) row[column] = T(a);
                    if (column + 1 < dim) row[column + 1] = T(b);
                }
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
