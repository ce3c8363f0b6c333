// Blocks that go through a sequence side by side in one launch: each has its part of the recurrent
// weights in shared memory from the first step to the last, and in each step multiplies by it what all
// of them computed in the step before.
//
// A block has kUnits hidden units of some sequences; the blocks that have the same sequences are a crew
// and wait for one another once a step. The product of a step is (16 sequences × depth) by
// (depth × columns): a warp has every eighth piece of the depth, and the sums of all eight are added up
// in a fixed order. On tensor cores of 16-bit floats, on the ordinary units of others.
#pragma once

#include "device/tensor_cores.h"
#include "rnn.h"

namespace tl {

constexpr int kTogetherThreads = 256, kTogetherWarps = kTogetherThreads / 32;
constexpr int kUnits = 8, kSequences = 16;

template <typename T>
constexpr int kLanePack = 16 / sizeof(T);  // elements that a lane reads at a time
template <typename T>
constexpr int kPiece = 4 * kLanePack<T>;  // elements of a row that a warp multiplies at a time

// Blocks that a multiprocessor has registers for.
template <typename T>
constexpr int kTogetherBlocks = sizeof(T) == 2 ? 2 : 1;

// Sixteen bytes of a row that another block may have written: from the second-level cache, as the first
// knows nothing of it. Zeros behind `depth`. `whole`: rows begin at multiples of 16 bytes.
template <typename T>
TL_INLINE uint4 fresh(const T* row, int k, int depth, bool whole) {
    if (whole) return k < depth ? __ldcg((const uint4*)(row + k)) : uint4{0, 0, 0, 0};
    uint32_t word[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int at = k + i * (kLanePack<T> / 4);
        if constexpr (sizeof(T) == 2) {
            const int pair = k + 2 * i;
            if (pair < depth) word[i] = __ldcg((const unsigned short*)(row + pair));
            if (pair + 1 < depth) word[i] |= (uint32_t)__ldcg((const unsigned short*)(row + pair + 1)) << 16;
        } else if constexpr (sizeof(T) == 4) {
            if (at < depth) word[i] = __ldcg((const uint32_t*)(row + at));
        } else if (k + i / 2 < depth) {
            word[i] = __ldcg((const uint32_t*)(row + k + i / 2) + i % 2);
        }
    }
    return {word[0], word[1], word[2], word[3]};
}

TL_INLINE void elements(float (&to)[4], const uint4& pack) {
    to[0] = float_of(pack.x), to[1] = float_of(pack.y), to[2] = float_of(pack.z), to[3] = float_of(pack.w);
}
TL_INLINE void elements(double (&to)[2], const uint4& pack) {
    to[0] = __hiloint2double(pack.y, pack.x), to[1] = __hiloint2double(pack.w, pack.z);
}

// What a warp has of a product of 16 rows: lane 4 g + t reads rows g and g + 8, in each piece of the
// depth the t-th 16 bytes. The weights' pack of a column stands beside those of its piece's other columns.
template <typename T, int columns>
struct StepSums {
    static constexpr bool kTensor = sizeof(T) == 2;
    static constexpr int kStride = columns + 8;  // of a row of sums, so that rows lie in different banks
    Acc<T> part[2][kTensor ? columns / 4 : columns];

    TL_INLINE void clear() {
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < (kTensor ? columns / 4 : columns); ++j) part[i][j] = 0;
    }

    TL_INLINE void add(const uint4& row0, const uint4& row8, const uint4* piece) {
        const int lane = threadIdx.x % 32;
        if constexpr (kTensor) {  // of two instructions' depth a lane has 16 bytes: any order will do
            const uint32_t a[2][4] = {{row0.x, row8.x, row0.y, row8.y}, {row0.z, row8.z, row0.w, row8.w}};
#pragma unroll
            for (int j = 0; j < columns / 8; ++j) {
                const uint4 b = piece[j * 32 + lane];
                float sum[4] = {part[0][2 * j], part[0][2 * j + 1], part[1][2 * j], part[1][2 * j + 1]};
                multiply_add<T>(sum, a[0], b.x, b.y);
                multiply_add<T>(sum, a[1], b.z, b.w);
                part[0][2 * j] = sum[0], part[0][2 * j + 1] = sum[1];
                part[1][2 * j] = sum[2], part[1][2 * j + 1] = sum[3];
            }
        } else {
            T left[2][kLanePack<T>], right[kLanePack<T>];
            elements(left[0], row0), elements(left[1], row8);
#pragma unroll
            for (int n = 0; n < columns; ++n) {
                elements(right, piece[n * 4 + lane % 4]);
#pragma unroll
                for (int i = 0; i < 2; ++i)
#pragma unroll
                    for (int e = 0; e < kLanePack<T>; ++e) part[i][n] += left[i][e] * right[e];
            }
        }
    }

    // To rows of `kStride` sums.
    TL_INLINE void write(Acc<T>* to) {
        const int lane = threadIdx.x % 32, group = lane / 4, t = lane % 4;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            Acc<T>* row = to + (group + 8 * i) * kStride;
            if constexpr (kTensor) {
#pragma unroll
                for (int j = 0; j < columns / 4; ++j) row[j / 2 * 8 + 2 * t + j % 2] = part[i][j];
            } else {  // of each four columns, lane t adds up the one that two exchanges leave it
#pragma unroll
                for (int j = 0; j < columns; j += 4) {
                    Acc<T>* four = part[i] + j;
                    const bool odd = t & 1, upper = t & 2;
                    const Acc<T> low = exchanged(odd ? four[1] : four[0], odd ? four[0] : four[1], 1);
                    const Acc<T> high = exchanged(odd ? four[3] : four[2], odd ? four[2] : four[3], 1);
                    row[j + t] = exchanged(upper ? high : low, upper ? low : high, 2);
                }
            }
        }
    }
    static TL_INLINE Acc<T> exchanged(Acc<T> own, Acc<T> given, int distance) {
        return own + __shfl_xor_sync(0xffffffffu, given, distance);
    }
};

// A thread's place in a step: one hidden unit of one sequence, if it has one.
struct Place {
    Index row, unit;
    bool inside;
};

// A block of a crew. Sequences 16 by 16 go to one crew after the other.
template <typename T, int columns>
class Crew {
    using A = Acc<T>;
    using Sums = StepSums<T, columns>;
    uint4* weights_;
    A* sums_;  // eight warps' rows
    int* arrived_;
    int batch_, hidden_, crews_, depth_, members_;

  public:
    static constexpr int kPacks = 4 * columns;  // of a piece

    // `depth` is the length of the rows that are multiplied; `arrived` has a number, 0, for each crew.
    TL_INLINE Crew(Index batch, Index hidden, Index crews, int depth, int* arrived)
        : batch_((int)batch), hidden_((int)hidden), crews_((int)crews), depth_(depth) {
        extern __shared__ __align__(16) unsigned char asked_for[];
        weights_ = (uint4*)asked_for;
        sums_ = (A*)(weights_ + pieces() * kPacks);
        members_ = (hidden_ + kUnits - 1) / kUnits;
        arrived_ = arrived + crew();
    }

    // Reads weight(k, gate, unit) once, for the columns gate · kUnits + unit.
    template <typename F>
    TL_INLINE void hold(const F& weight) {
        T* to = (T*)weights_;
        const int from = member() * kUnits;
        for (int n = (int)threadIdx.x / 32; n < columns; n += kTogetherWarps)
            for (int k = (int)threadIdx.x % 32; k < pieces() * kPiece<T>; k += 32) {
                const int unit = from + n % kUnits;
                const bool inside = k < depth_ && unit < hidden_;
                const int pack = (k / kPiece<T> * columns + n) * 4 + k % kPiece<T> / kLanePack<T>;
                to[pack * kLanePack<T> + k % kLanePack<T>] = inside ? weight(k, n / kUnits, unit) : T(0);
            }
        __syncthreads();
    }

    // For n = 0, 1, …, `steps` - 1, and every place: cell(n, place, load(n, place), sum of a gate),
    // with the sums of the product of rows(n), which the crew has written by then; null if there is none.
    template <typename R, typename L, typename C>
    TL_INLINE void each_step(Index steps, const R& rows, const L& load, const C& cell) {
        for (Index n = 0; n < steps; ++n) {
            const T* operand = rows(n);
            for (int first = crew() * kSequences; first < batch_; first += crews_ * kSequences) {
                const Place place = place_in(first);
                decltype(load(n, place)) loaded{};  // asked for before the others are waited for
                if (place.inside) loaded = load(n, place);
                if (first == crew() * kSequences) wait(n);
                if (operand) multiply(operand, first);
                if (place.inside) cell(n, place, loaded, [&](int gate) { return operand ? sum(gate) : A(0); });
                __syncthreads();
            }
            if (n + 1 < steps) arrive();
        }
    }

  private:
    TL_INLINE int crew() const { return (int)blockIdx.x % crews_; }
    TL_INLINE int member() const { return (int)blockIdx.x / crews_; }
    TL_INLINE int pieces() const { return (depth_ + kPiece<T> - 1) / kPiece<T>; }

    TL_INLINE Place place_in(int first) const {
        const int row = first + (int)threadIdx.x / kUnits, unit = member() * kUnits + (int)threadIdx.x % kUnits;
        return {row, unit, (int)threadIdx.x < kSequences * kUnits && row < batch_ && unit < hidden_};
    }

    // All that the block wrote is there for those who see that it has arrived.
    TL_INLINE void arrive() {
        if (threadIdx.x) return;
        __threadfence();
        atomicAdd(arrived_, 1);
    }
    TL_INLINE void wait(Index steps) {
        if (!threadIdx.x && steps) {
            int seen;
            do {
                asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(arrived_) : "memory");
            } while (seen < (int)steps * members_);
            __threadfence();
        }
        __syncthreads();
    }

    TL_INLINE void multiply(const T* rows, int first) {
        constexpr int kAhead = sizeof(T) > 2 && columns > kUnits ? 2 : 4;
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, last = batch_ - 1;
        // Rows behind the last are that again: nobody reads their sums.
        const T* row0 = rows + (Index)min(first + group, last) * depth_;
        const T* row8 = rows + (Index)min(first + group + 8, last) * depth_;
        const bool whole = depth_ % kLanePack<T> == 0 && (uint64_t)rows % 16 == 0;
        Sums sums;
        sums.clear();
        for (int piece = warp; piece < pieces(); piece += kAhead * kTogetherWarps) {
            uint4 left[kAhead][2];
#pragma unroll
            for (int i = 0; i < kAhead; ++i) {
                const int k = (piece + i * kTogetherWarps) * kPiece<T> + lane % 4 * kLanePack<T>;
                left[i][0] = fresh(row0, k, depth_, whole), left[i][1] = fresh(row8, k, depth_, whole);
            }
#pragma unroll
            for (int i = 0; i < kAhead; ++i)
                if (piece + i * kTogetherWarps < pieces())
                    sums.add(left[i][0], left[i][1], weights_ + (piece + i * kTogetherWarps) * kPacks);
        }
        sums.write(sums_ + warp * kSequences * Sums::kStride);
        __syncthreads();
    }

    TL_INLINE A sum(int gate) const {
        const A* own = sums_ + (int)threadIdx.x / kUnits * Sums::kStride + gate * kUnits + (int)threadIdx.x % kUnits;
        A total = own[0];
#pragma unroll
        for (int warp = 1; warp < kTogetherWarps; ++warp) total += own[warp * kSequences * Sums::kStride];
        return total;
    }
};

}  // namespace tl
