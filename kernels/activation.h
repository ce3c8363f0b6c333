// The formulas of activations that kernels share: with a bias before, in the epilogue of a product.
#pragma once

#include "tensorlite.h"

namespace tl {

template <typename A>
TL_INLINE A relu_of(A x) {
    return x > 0 || x != x ? x : 0;  // NaN stays NaN
}

// The standard normal distribution at x: Φ(x), and exp(-x²/2). In float, with t = 1 / (1 + |x|/4) and
// the tail Φ(-|x|) = exp(-x²/2) t P(t), P a minimax fit over |x| <= 14: one exp serves both.
template <typename A>
struct Gaussian {
    A below, bell;
};
TL_INLINE Gaussian<float> gaussian(float x) {
    const float t = 1.0f / (1.0f + 0.25f * abs(x)), bell = exp(-0.5f * x * x);
    const float p = 0.0284366681f + t * (0.0516518350f + t * (-0.0627919757f + t * 0.0165796208f));
    const float q = 0.0719991918f + t * (0.0866574395f + t * (0.0127109946f + t * p));
    const float tail = bell * t * (0.0997479040f + t * (0.0994925485f + t * (0.0955157769f + t * q)));
    return {x < 0 ? tail : 1 - tail, bell};
}
TL_INLINE Gaussian<double> gaussian(double x) {
    return {0.5 * erfc(x * -0.70710678118654752), exp(-0.5 * x * x)};
}

// x Φ(x)
template <typename A>
TL_INLINE A gelu_of(A x) {
    return x * gaussian(x).below;
}
template <typename A>
TL_INLINE A gelu_slope(A x) {
    const auto normal = gaussian(x);
    return normal.below + x * A(0.39894228040143268) * normal.bell;
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
