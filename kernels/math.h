// Elementary functions without branches, so that loops over them vectorise: the system library's
// float versions are called one element at a time and lose to NumPy.
//
// The polynomials are minimax fits (weighted least squares, reweighted until the error is level);
// bounds are in units in the last place of the exact result and hold over the whole range
// (tests/kernels/test_math.py). Results of exp below 2^-126 are zero. double goes to
// the library but for exp.
#pragma once

#include "types.h"

#if defined(__CUDACC__)
#define TL_CALL(name) ::name
#else
#define TL_CALL(name) __builtin_##name
#endif

namespace tl {

TL_INLINE float sqrt(float x) { return TL_CALL(sqrtf)(x); }
TL_INLINE float abs(float x) { return TL_CALL(fabsf)(x); }

// p / q, 2 ulp on CUDA, where IEEE's division takes 10 instructions and a branch; 0 for q beyond 2^126.
TL_INLINE float quotient(float p, float q) {
#if defined(__CUDACC__)
    return __fdividef(p, q);
#else
    return p / q;
#endif
}

// x = k ln 2 + r with |r| <= ln 2 / 2; ln 2 is subtracted in two parts. Adding 3/2 2^23 rounds to an
// integer, which then stands in the lowest bits: shifted, it is k in the place of an exponent.
struct Reduced {
    float r;
    uint32_t exponent;
};
TL_INLINE Reduced reduce_exponent(float x) {
    const float shifted = x * 1.44269504f + 12582912.0f, k = shifted - 12582912.0f;
    return {(x - k * 0.693359375f) + k * 2.12194440e-4f, bits_of(shifted) << 23};
}

// (exp(r) - 1 - r) / r^2
TL_INLINE float exp_tail(float r) {
    const float p = 0.00836658033f + r * 0.00138825101f;
    return 0.499999981f + r * (0.166665432f + r * (0.0416672018f + r * p));
}

// 1.5 ulp
TL_INLINE float exp(float x) {
    const Reduced a = reduce_exponent(x);
    const float p = 1.0f + a.r * (1.0f + a.r * exp_tail(a.r));
    float y = float_of(bits_of(p) + a.exponent);
    y = x < -87.33f ? 0.0f : y;
    return x <= 88.7228f ? y : x + INFINITY;  // NaN stays NaN
}

// exp(x) - 1, 2 ulp
TL_INLINE float expm1(float x) {
    const Reduced a = reduce_exponent(x);
    const float p = a.r + a.r * a.r * exp_tail(a.r);
    const float half = float_of(0x3f000000u + a.exponent);  // 2^(k-1)
    float y = 2.0f * (half * p + (half - 0.5f));
    y = x < -17.4f ? -1.0f : y;
    return x <= 88.7228f ? y : x + INFINITY;
}

// 1.5 ulp; -inf at 0, NaN below it
TL_INLINE float log(float x) {
    const bool tiny = x < 1.17549435e-38f;
    const uint32_t bits = bits_of(tiny ? x * 8388608.0f : x);
    const int exponent = int(bits - 0x3f3504f3u) >> 23;  // so that the mantissa is in [√½, √2)
    const float e = float(exponent) - (tiny ? 23.0f : 0.0f);
    const float f = float_of(bits - (uint32_t(exponent) << 23)) - 1.0f;
    const float p = 0.142013676f + f * (-0.131620040f + f * (0.127654283f + f * -0.0763438874f));
    const float q = 0.333333317f + f * (-0.250008268f + f * (0.200012359f + f * (-0.166231445f + f * p)));
    const float tail = f * f * (f * q - 0.5f) + e * -2.12194440e-4f;
    float y = (f + tail) + e * 0.693359375f;
    y = x < INFINITY ? y : x;
    y = x == 0.0f ? -INFINITY : y;
    return x < 0.0f ? NAN : y;
}

// log(1 + x), 2 ulp; -inf at -1, NaN below it
TL_INLINE float log1p(float x) {
    const float w = 1.0f + x;
    const float rounded = log(w), error = quotient((w - 1.0f) - x, w);
    const float y = x > -1.0f ? rounded - error : rounded;
    return x < INFINITY ? y : x;
}

// 2.5 ulp, on CUDA 3: the reciprocal has 1 of its own
TL_INLINE float sigmoid(float x) { return quotient(1.0f, 1.0f + exp(-x)); }

// 2.5 ulp
TL_INLINE float tanh(float x) {
    const float a = abs(x), z = x * x;
    const float p = 0.0207778651f + z * -0.00587239453f;
    const float q = -0.333332963f + z * (0.133318725f + z * (-0.0537789239f + z * p));
    const float near = x + x * z * q;
    const float far = 1.0f - quotient(2.0f, exp(2.0f * a) + 1.0f);
    return a < 0.6f ? near : TL_CALL(copysignf)(far, x);
}

// 1.2 ulp
TL_INLINE float erf(float x) {
    const float a = abs(x), z = x * x;
    const float p = 0.00518832768f + z * (-0.000801019358f + z * 7.85386120e-05f);
    const float q = 0.112835851f + z * (-0.0268538119f + z * p);
    const float near = x + x * (0.12837917f + z * (-0.376126258f + z * q));
    const float b = a < 4.0f ? a : 4.0f;  // beyond, erf is 1 in float
    const float s = -0.00420528551f + b * (0.000441472789f + b * -2.16976248e-05f);
    const float t = -0.633216393f + b * (-0.108422104f + b * (0.0252103420f + b * s));
    const float far = 1.0f - exp(0.000188468471f + b * (-1.12958031f + b * t));
    return a < 1.0f ? near : a <= INFINITY ? TL_CALL(copysignf)(far, x) : x;
}

#define TL_LIBRARY(name) \
    TL_INLINE double name(double x) { return TL_CALL(name)(x); }
TL_LIBRARY(sqrt)
TL_LIBRARY(expm1)
TL_LIBRARY(log)
TL_LIBRARY(log1p)
TL_LIBRARY(tanh)
TL_LIBRARY(erf)
TL_LIBRARY(erfc)
#undef TL_LIBRARY
// 1.5 ulp, by the Taylor series up to r^13; without branches, because on CUDA the library's costs
// registers that rows need.
TL_INLINE double exp(double x) {
    x = x > 710.0 ? 710.0 : x;
    x = x < -708.7 ? -708.7 : x;
    const double k = TL_CALL(rint)(x * 1.4426950408889634);
    const double r = (x - k * 0.693147180369123816) - k * 1.90821492927058770e-10;
    double p = 1 / 6227020800.0;
    p = p * r + 1 / 479001600.0;
    p = p * r + 1 / 39916800.0;
    p = p * r + 1 / 3628800.0;
    p = p * r + 1 / 362880.0;
    p = p * r + 1 / 40320.0;
    p = p * r + 1 / 5040.0;
    p = p * r + 1 / 720.0;
    p = p * r + 1 / 120.0;
    p = p * r + 1 / 24.0;
    p = p * r + 1 / 6.0;
    p = 1 + (r + r * r * (0.5 + r * p));
    return (2 * p) * double_of(uint64_t(int64_t(int(k)) + 1022) << 52);
}
TL_INLINE double abs(double x) { return x < 0 ? -x : x; }
TL_INLINE double sigmoid(double x) { return 1 / (1 + exp(-x)); }

}  // namespace tl

#undef TL_CALL
