// The formulas of activations that kernels share: with a bias before, in the epilogue of a product.
#pragma once

#include "tensorlite.h"

namespace tl {

template <typename A>
TL_INLINE A relu_of(A x) {
    return x > 0 || x != x ? x : 0;  // NaN stays NaN
}

// In float, Φ and the derivative of x Φ(x) less ½ are odd: x P(x²) / Q(x²), minimax fits on |x| <= limit
// with errors of 2e-7, where they are 0 and 1. That is half the time of an exp and a division.
struct Limited {
    float x, square;
    TL_INLINE Limited(float any, float limit) {
        x = any > limit ? limit : any;  // NaN stays NaN
        x = x < -limit ? -limit : x;
        square = x * x;
    }
};

// The standard normal distribution: Φ(x)
TL_INLINE float normal_below(float x) {
    const auto [a, z] = Limited(x, 5.4f);
    const float p = 0.00465084945f + z * (0.000164321421f + z * (6.36001432e-06f + z * 2.33867321e-08f));
    const float q = 0.0283786736f + z * (0.00185897996f + z * (7.24000774e-05f + z * 1.21659049e-06f));
    const float above = 0.398942245f + z * (0.0333722059f + z * p), under = 1.0f + z * (0.250317804f + z * q);
    return x < -5.4f ? 0.0f : 0.5f + a * (above / under);
}
TL_INLINE double normal_below(double x) { return 0.5 * erfc(x * -0.70710678118654752); }

// x Φ(x)
template <typename A>
TL_INLINE A gelu_of(A x) {
    return x * normal_below(x);
}

// Φ(x) + x exp(-x²/2) / √(2π)
TL_INLINE float gelu_slope(float x) {
    const auto [a, z] = Limited(x, 6.0f);
    const float p = 0.000202712598f + z * (3.40918560e-05f + z * (9.22477768e-07f + z * 1.70458885e-08f));
    const float q = 0.000245319307f + z * (1.03074714e-05f + z * (3.38963588e-07f + z * 1.31474896e-09f));
    const float above = 0.797884531f + z * (-0.0223722877f + z * (0.0138573777f + z * p));
    const float under =
        1.0f + z * (0.305293457f + z * (0.0441332080f + z * (0.00397145383f + z * q)));
    return x < -6.0f ? 0.0f : 0.5f + a * (above / under);
}
TL_INLINE double gelu_slope(double x) {
    return normal_below(x) + x * 0.39894228040143268 * exp(-0.5 * x * x);
}

// x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3)
template <typename A>
TL_INLINE A gelu_tanh_of(A x) {
    return x * sigmoid(A(1.5957691216057308) * x * (1 + A(0.044715) * x * x));
}
template <typename A>
TL_INLINE A gelu_tanh_slope(A x) {
    const A s = sigmoid(A(1.5957691216057308) * x * (1 + A(0.044715) * x * x));
    return s + x * s * (1 - s) * A(1.5957691216057308) * (1 + A(0.134145) * x * x);
}

}  // namespace tl
