// Element types on both devices: f16 and bf16 are stored in 16 bits and computed with in float.
#pragma once

#if defined(__CUDACC__)
#define TL_INLINE __device__ __forceinline__
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef long long int64_t;
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fc00000)
namespace tl {
using Index = long long;
}
#else
#include <cstdint>
#include <type_traits>

#include "host/pool.h"
// <cmath> would cost every family 0.2 s of compiling.
#ifndef INFINITY
#define INFINITY (__builtin_inff ())
#define NAN (__builtin_nanf (""))
#endif
#define TL_INLINE inline __attribute__((always_inline))
#define TL_APART __attribute__((noinline))  // where a copy in every kernel costs compile time
// Before a loop: to write it out in full; that its iterations do not depend on each other.
#if defined(__clang__)
#define TL_UNROLL _Pragma("clang loop unroll(full)")
#define TL_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define TL_UNROLL _Pragma("GCC unroll 16")
#define TL_INDEPENDENT _Pragma("GCC ivdep")
#endif
// Before a function whose vectors have all of AVX-512's 64 bytes: clang halves them for x86-64-v4 and
// for many processors.
#if defined(__clang__) && defined(__AVX512F__)
#define TL_WIDE __attribute__((min_vector_width(512)))
#else
#define TL_WIDE
#endif
#endif

namespace tl {

TL_INLINE uint32_t bits_of(float x) {
#if defined(__CUDACC__)
    return __float_as_uint(x);
#else
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    return bits;
#endif
}

TL_INLINE float float_of(uint32_t bits) {
#if defined(__CUDACC__)
    return __uint_as_float(bits);
#else
    float x;
    __builtin_memcpy(&x, &bits, 4);
    return x;
#endif
}

TL_INLINE double double_of(uint64_t bits) {
#if defined(__CUDACC__)
    return __longlong_as_double((long long)bits);
#else
    double x;
    __builtin_memcpy(&x, &bits, 8);
    return x;
#endif
}

// IEEE binary16. Conversions round to nearest even; on the host they are free of branches so that
// loops over them vectorise with any compiler.
struct f16 {
    uint16_t bits;
    f16() = default;

#if defined(__CUDACC__)
    TL_INLINE f16(float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
    TL_INLINE operator float() const {
        float x;
        asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
        return x;
    }
#else
    TL_INLINE f16(float x) {
        const uint32_t all = bits_of(x), magnitude = all & 0x7fffffffu;
        // Rebias the exponent by -112; below 2^-14 let the addition of 0.5, whose last place is the
        // smallest subnormal, do the rounding.
        const uint32_t even = (magnitude + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
        const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
        uint32_t half = magnitude < 0x38800000u ? subnormal : even - (112u << 10);
        half = magnitude >= 0x477ff000u ? 0x7c00u : half;
        half = magnitude > 0x7f800000u ? 0x7e00u : half;
        bits = uint16_t(half | (all >> 16 & 0x8000u));
    }
    TL_INLINE operator float() const {
        const uint32_t magnitude = bits & 0x7fffu;
        uint32_t scaled = bits_of(float_of(magnitude << 13) * 0x1p112f);
        scaled |= magnitude >= 0x7c00u ? 0x7f800000u : 0u;
        return float_of(scaled | uint32_t(bits & 0x8000u) << 16);
    }
#endif
};

// The upper half of a float.
struct bf16 {
    uint16_t bits;
    bf16() = default;

    TL_INLINE bf16(float x) {
        const uint32_t all = bits_of(x);
        const uint32_t even = (all + 0x7fffu + ((all >> 16) & 1u)) >> 16;
        bits = uint16_t((all & 0x7fffffffu) > 0x7f800000u ? (all >> 16 | 0x40u) : even);
    }
    TL_INLINE operator float() const { return float_of(uint32_t(bits) << 16); }
};

// What a kernel computes in, given what the array holds.
template <typename T>
struct Accumulate {
    using type = float;
};
template <>
struct Accumulate<double> {
    using type = double;
};
template <>
struct Accumulate<uint32_t> {
    using type = uint32_t;
};
template <>
struct Accumulate<Index> {
    using type = Index;
};
template <typename T>
using Acc = typename Accumulate<T>::type;

// Rows at equal distances.
template <typename T>
struct Rows {
    T* data;
    Index stride;

    TL_INLINE T* operator[](Index i) const { return data + i * stride; }
};

#if !defined(__CUDACC__)
// Asks for rows [first, last) that will be read soon or, unless they are const, written: where they
// lie far apart the processor does not guess which come next.
template <typename T>
inline void ask_for(Rows<T> rows, Index first, Index last, Index length) {
    constexpr Index line = 64 / sizeof(T);
    for (Index i = first; i < last; ++i)
        for (Index j = 0; j < length; j += line)
            __builtin_prefetch(rows[i] + j, !std::is_const<T>());
}
#endif

// An array (batch, heads, length, dim) whose rows of `dim` elements are dense and lie anywhere.
template <typename T>
struct Heads {
    T* data;
    Index batch_stride, head_stride, row_stride, heads;

    // The rows of one head, counted through all batches.
    TL_INLINE Rows<T> of(Index head) const {
#if defined(__CUDACC__)  // a block per head at least, so 32 bits; a division of 64 is a call
        const Index batch = uint32_t(head) / uint32_t(heads);
#else
        const Index batch = head / heads;
#endif
        return {data + batch * batch_stride + (head - batch * heads) * head_stride, row_stride};
    }
};

}  // namespace tl
