// Philox blocks, the two distributions, and map() with a random number per element.
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

// Two vectors side by side: while one waits for its product, the other is at work.
struct Lanes8 {
    Lanes4 low, high;
};
TL_INLINE Lanes8 operator^(Lanes8 a, Lanes8 b) { return {a.low ^ b.low, a.high ^ b.high}; }
TL_INLINE Lanes8 operator^(Lanes8 a, uint64_t b) { return {a.low ^ b, a.high ^ b}; }
TL_INLINE Lanes8 operator>>(Lanes8 a, int bits) { return {a.low >> bits, a.high >> bits}; }
TL_INLINE Lanes8 multiply_low(Lanes8 a, uint32_t m) {
    return {multiply_low(a.low, m), multiply_low(a.high, m)};
}

// Writes four blocks, w0 … w3 of one after those of the other.
TL_INLINE void interleave(uint32_t* words, Lanes4 w0, Lanes4 w1, Lanes4 w2, Lanes4 w3) {
    const Lanes4 a = (w0 & 0xffffffffu) | w1 << 32, b = (w2 & 0xffffffffu) | w3 << 32;
    *(Lanes4*)words = Lanes4{a[0], b[0], a[1], b[1]};
    *(Lanes4*)(words + 8) = Lanes4{a[2], b[2], a[3], b[3]};
}
#endif

// The four words of a block, a function of the seed and the block alone, in the lower halves of
// 64-bit lanes: W is uint64_t or Lanes8.
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

#if !defined(__CUDACC__)
// The words of eight blocks, from `first` on.
TL_INLINE void draw_eight(uint64_t seed, uint64_t first, uint32_t* words) {
    const Lanes4 next = {first, first + 1, first + 2, first + 3};
    Lanes8 w0, w1, w2, w3;
    philox(seed, Lanes8{next, next + 4}, w0, w1, w2, w3);
    interleave(words, w0.low, w1.low, w2.low, w3.low);
    interleave(words + 16, w0.high, w1.high, w2.high, w3.high);
}
#endif

TL_INLINE float uniform(uint32_t word) { return float(int(word >> 8)) * 0x1p-24f; }

// The least of a word's upper 24 bits that dropout keeps: uniform(word) >= p in whole numbers, as p
// 2^24 is exact in float.
TL_INLINE int least_kept(double p) {
    const float threshold = float(p) * 0x1p24f;
    return int(threshold) + (float(int(threshold)) < threshold);
}

// What map_random does to a pair of words first. Types, not functions: they are inlined without fail.
struct Words {
    TL_INLINE void operator()(uint32_t&, uint32_t&) const {}
};

// Box and Muller's transform. Each line is one IEEE operation after another, in the order of
// tensorlite/random.py, where the polynomials are explained. The words become bits of floats.
struct Normals {
    TL_INLINE void operator()(uint32_t& w0, uint32_t& w1) const {
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
        w0 = bits_of(radius * ((quadrant + 1) & 2 ? -c : c));
        w1 = bits_of(radius * (quadrant & 2 ? -d : d));
    }
};

#if defined(__CUDACC__)
template <int count, typename F, typename... L>
TL_INLINE void apply_random(const F& f, const uint32_t* words, bool aligned, L... lanes) {
#pragma unroll
    for (int k = 0; k < count; ++k) f(words[k], lanes.value[k]...);
    (lanes.write_back(aligned), ...);
}
#endif

// f(word i, element i of each operand...), after Prepare has seen each pair of words.
#if defined(__CUDACC__)
template <typename Prepare, typename F, typename... Operands>
TL_INLINE void map_random(Index n, uint64_t seed, uint64_t offset, const F& f,
                          Operands... operands) {
    const bool aligned = (in_packs<4>(operands) && ...);
    for (Index b = lane_index(); b * 4 < n; b += lane_count()) {
        uint64_t w0, w1, w2, w3;
        philox(seed, offset + b, w0, w1, w2, w3);
        uint32_t words[4] = {uint32_t(w0), uint32_t(w1), uint32_t(w2), uint32_t(w3)};
        Prepare()(words[0], words[1]);
        Prepare()(words[2], words[3]);
        if (b * 4 + 4 <= n) {
            apply_random<4>(f, words, aligned, lanes<4>(operands, b * 4, aligned)...);
        } else {
#pragma unroll
            for (int k = 0; k < 3; ++k)
                if (b * 4 + k < n)
                    apply_random<1>(f, words + k, true, lanes<1>(operands, b * 4 + k, true)...);
        }
    }
}
#else
template <typename Prepare, typename F, typename... Operands>
TL_INLINE void map_random(Index n, uint64_t seed, uint64_t offset, const F& f,
                          Operands... operands) {
    constexpr Index kBlocks = 64;  // worked on at a time, stage by stage in small vectorised loops
    constexpr Index kElements = 4 * kBlocks;
    parallel_range((n + kElements - 1) / kElements, kGrain / kElements, [=](Index begin, Index end) {
        alignas(32) uint32_t words[kElements];
        for (Index t = begin; t < end; ++t) {
            for (Index b = 0; b < kBlocks; b += 8)
                draw_eight(seed, offset + t * kBlocks + b, words + 4 * b);
#pragma omp simd
            for (Index p = 0; p < kElements; p += 2) Prepare()(words[p], words[p + 1]);
            const Index first = t * kElements, count = n - first < kElements ? n - first : kElements;
            TL_INDEPENDENT
            for (Index i = 0; i < count; ++i)
                apply([&](auto&&... values) { f(words[i], values...); }, lane(operands, first + i)...);
        }
    });
}
#endif

}  // namespace tl
