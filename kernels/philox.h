// Philox blocks, the two distributions, and map() with a random number an element.
#pragma once

#include "tensorlite.h"

namespace tl {

// a · m for the lower halves of 64-bit lanes.
TL_INLINE uint64_t multiply_low(uint64_t a, uint32_t m) { return uint64_t(uint32_t(a)) * m; }

#if !defined(__CUDACC__)
typedef uint64_t Lanes4 __attribute__((vector_size(32), may_alias));
TL_INLINE Lanes4 multiply_low(Lanes4 a, uint32_t m) {
#if defined(__AVX2__)  // one instruction, which GCC does not find by itself
    typedef long long Signed4 __attribute__((vector_size(32)));
    typedef int Int8 __attribute__((vector_size(32)));
    const Lanes4 factor = {m, m, m, m};
    return (Lanes4)(Signed4)__builtin_ia32_pmuludq256((Int8)a, (Int8)factor);
#else
    return (a & 0xffffffffu) * m;
#endif
}
#endif

// The four words of a block, a function of the seed and the block alone, in the lower halves of
// 64-bit lanes: W is uint64_t, or a vector of them.
template <typename W>
TL_INLINE void philox(uint64_t seed, W block, W& w0, W& w1, W& w2, W& w3) {
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    w0 = block, w1 = block >> 32, w2 = block ^ block, w3 = w2;
    for (int round = 0; round < 10; ++round) {
        const W p0 = multiply_low(w0, 0xD2511F53u), p1 = multiply_low(w2, 0xCD9E8D57u);
        w0 = (p1 >> 32) ^ w1 ^ uint64_t(k0), w1 = p1;
        w2 = (p0 >> 32) ^ w3 ^ uint64_t(k1), w3 = p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
}

template <typename N>
struct Pair {
    N first, second;
};

TL_INLINE float uniform(uint32_t word) { return float(int(word >> 8)) * 0x1p-24f; }

// What a pair of words becomes. Types, not functions: a compiler inlines them without fail.
struct RandomBits {
    TL_INLINE Pair<uint32_t> operator()(uint32_t w0, uint32_t w1) const { return {w0, w1}; }
};

struct Uniform {
    TL_INLINE Pair<float> operator()(uint32_t w0, uint32_t w1) const {
        return {uniform(w0), uniform(w1)};
    }
};

// Box and Muller's transform. Each line is one IEEE operation after another, in the order of
// tensorlite/random.py, where the polynomials are explained.
struct Normal {
    TL_INLINE Pair<float> operator()(uint32_t w0, uint32_t w1) const {
        const float x = uniform(w0) + 0x1p-24f;
        const int bits = int(bits_of(x)), e = (bits - 0x3f3504f3) >> 23;
        const float m = float_of(uint32_t(bits - e * (1 << 23)));
        const float s = (m - 1.0f) / (m + 1.0f), z = s * s;
        const float series = (((z * float(1 / 9.) + float(1 / 7.)) * z + float(1 / 5.)) * z + float(1 / 3.)) * z;
        const float log = float(e) * float(0.69314718055994531) + (s * series + s) * 2.0f;
        const float radius = sqrt(log * -2.0f);

        const float turns = uniform(w1);
        const int quadrant = int(turns * 4.0f + 0.5f);
        const float a = (turns - float(quadrant) * 0.25f) * float(6.2831853071795865), q = a * a;
        const float sine =
            (((q * float(1 / 362880.) - float(1 / 5040.)) * q + float(1 / 120.)) * q - float(1 / 6.)) *
                q * a + a;
        const float cosine =
            ((((q * float(-1 / 3628800.) + float(1 / 40320.)) * q - float(1 / 720.)) * q +
              float(1 / 24.)) * q - 0.5f) * q + 1.0f;
        const float c = quadrant & 1 ? sine : cosine, d = quadrant & 1 ? cosine : sine;
        return {radius * ((quadrant + 1) & 2 ? -c : c), radius * (quadrant & 2 ? -d : d)};
    }
};

#if defined(__CUDACC__)
template <int count, typename N, typename F, typename... L>
TL_INLINE void apply_random(const F& f, const N* random, bool aligned, L... lanes) {
#pragma unroll
    for (int k = 0; k < count; ++k) f(random[k], lanes.value[k]...);
    (lanes.write_back(aligned), ...);
}
#endif

// f(r[i], element i of each operand...), where Draw makes a pair of numbers r of two words.
#if defined(__CUDACC__)
template <typename Draw, typename F, typename... Operands>
TL_INLINE void map_random(Index n, uint64_t seed, uint64_t offset, const F& f,
                          Operands... operands) {
    const bool aligned = (in_packs<4>(operands) && ...);
    using Number = decltype(Draw()(0, 0).first);
    for (Index b = lane_index(); b * 4 < n; b += lane_count()) {
        uint64_t w0, w1, w2, w3;
        philox(seed, offset + b, w0, w1, w2, w3);
        const auto low = Draw()(uint32_t(w0), uint32_t(w1)), high = Draw()(uint32_t(w2), uint32_t(w3));
        const Number random[4] = {low.first, low.second, high.first, high.second};
        if (b * 4 + 4 <= n) {
            apply_random<4>(f, random, aligned, lanes<4>(operands, b * 4, aligned)...);
        } else {
#pragma unroll
            for (int k = 0; k < 3; ++k)
                if (b * 4 + k < n)
                    apply_random<1>(f, random + k, true, lanes<1>(operands, b * 4 + k, true)...);
        }
    }
}
#else
template <typename Draw, typename F, typename... Operands>
TL_INLINE void map_random(Index n, uint64_t seed, uint64_t offset, const F& f,
                          Operands... operands) {
    constexpr Index kBlocks = 64;  // worked on at a time, stage by stage in small vectorised loops
    constexpr Index kElements = 4 * kBlocks;
    parallel_range((n + kElements - 1) / kElements, kGrain / kElements, [=](Index begin, Index end) {
        alignas(32) uint32_t words[kElements];
        decltype(Draw()(0, 0).first) random[kElements];
        for (Index t = begin; t < end; ++t) {
            for (Index b = 0; b < kBlocks; b += 4) {
                const uint64_t first = offset + t * kBlocks + b;
                Lanes4 w0, w1, w2, w3;
                philox(seed, Lanes4{first, first + 1, first + 2, first + 3}, w0, w1, w2, w3);
                const Lanes4 low = (w0 & 0xffffffffu) | w1 << 32, high = (w2 & 0xffffffffu) | w3 << 32;
                *(Lanes4*)(words + 4 * b) = Lanes4{low[0], high[0], low[1], high[1]};
                *(Lanes4*)(words + 4 * b + 8) = Lanes4{low[2], high[2], low[3], high[3]};
            }
#pragma omp simd
            for (Index p = 0; p < kElements / 2; ++p) {
                const auto pair = Draw()(words[2 * p], words[2 * p + 1]);
                random[2 * p] = pair.first, random[2 * p + 1] = pair.second;
            }
            const Index first = t * kElements, count = n - first < kElements ? n - first : kElements;
#pragma GCC ivdep
            for (Index i = 0; i < count; ++i)
                apply([&](auto&&... values) { f(random[i], values...); }, lane(operands, first + i)...);
        }
    });
}
#endif

}  // namespace tl
