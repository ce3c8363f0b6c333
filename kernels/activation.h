// The formulas of activations that kernels share: with a bias before, in the epilogue of a product.
#pragma once

#include "tensorlite.h"

namespace tl {

template <typename A>
TL_INLINE A relu_of(A x) {
    return x > 0 || x != x ? x : 0;  // NaN stays NaN
}

// x within ±limit, beyond which a function is straight to the last bit: there its formula meets 0 · inf
template <typename A>
TL_INLINE A limited(A x, A limit) {
    x = x > limit ? limit : x;  // NaN stays NaN
    return x < -limit ? -limit : x;
}

// c0 + c1 z + c2 z² + …
TL_INLINE float polynomial(float, float last) { return last; }
template <typename... More>
TL_INLINE float polynomial(float z, float first, More... more) {
    return first + z * polynomial(z, more...);
}

// What gelu multiplies x by, and its derivative, go from 0 to 1, and less ½ they are odd. In float they
// are ½ + x P(x²) / Q(x²), minimax fits up to a limit where they are 0 and 1 but for 2e-7, which is
// their error everywhere. That takes half the time of an exp and a division.
struct Step {
    bool below;
    float x, square;
    TL_INLINE Step(float any, float limit) {
        below = any < -limit;
        x = any > limit ? limit : any;  // NaN stays NaN
        x = below ? -limit : x;
        square = x * x;
    }
    TL_INLINE float of(float p, float q) const { return below ? 0.0f : 0.5f + x * quotient(p, q); }
};

// x Φ(x), Φ the standard normal distribution
TL_INLINE float gelu_of(float x) {
    const Step a(x, 5.4f);
    const float p = polynomial(a.square, 0.398942245f, 0.0333722059f, 0.00465084945f, 0.000164321421f,
                               6.36001432e-06f, 2.33867321e-08f);
    const float q = polynomial(a.square, 1.0f, 0.250317804f, 0.0283786736f, 0.00185897996f,
                               7.24000774e-05f, 1.21659049e-06f);
    return a.below ? 0.0f : x * a.of(p, q);
}
TL_INLINE double gelu_of(double x) {
    return (x < -40 ? -40 : x) * 0.5 * erfc(x * -0.70710678118654752);
}

// Φ(x) + x exp(-x²/2) / √(2π)
TL_INLINE float gelu_slope(float x) {
    const Step a(x, 6.0f);
    const float p = polynomial(a.square, 0.797884531f, -0.0223722877f, 0.0138573777f, 0.000202712598f,
                               3.40918560e-05f, 9.22477768e-07f, 1.70458885e-08f);
    const float q = polynomial(a.square, 1.0f, 0.305293457f, 0.0441332080f, 0.00397145383f,
                               0.000245319307f, 1.03074714e-05f, 3.38963588e-07f, 1.31474896e-09f);
    return a.of(p, q);
}
TL_INLINE double gelu_slope(double any) {
    const double x = limited(any, 40.0);
    return 0.5 * erfc(x * -0.70710678118654752) + x * 0.39894228040143268 * exp(-0.5 * x * x);
}

// x/2 (1 + tanh u) = x sigmoid(2u), u = √(2/π) (x + 0.044715 x³)
TL_INLINE float gelu_tanh_of(float x) {
    const Step a(x, 5.0f);
    const float p = polynomial(a.square, 0.398942035f, 0.0368171960f, 0.00368903166f, 0.000164919172f,
                               4.51130442e-06f);
    const float q = polynomial(a.square, 1.0f, 0.259774924f, 0.0271919622f, 0.00143584707f,
                               7.28052347e-05f, 4.37972960e-07f);
    return a.below ? 0.0f : x * a.of(p, q);
}
TL_INLINE double gelu_tanh_of(double any) {
    const double x = any < -40 ? -40 : any;
    return x * sigmoid(1.5957691216057308 * x * (1 + 0.044715 * x * x));
}

// s + 2 x s (1 - s) du/dx, s = sigmoid(2u)
TL_INLINE float gelu_tanh_slope(float x) {
    const Step a(x, 5.6f);
    const float p = polynomial(a.square, 0.797884815f, -0.00198095753f, 0.0108232945f, 0.000512213178f,
                               1.52360191e-05f, 1.96976383e-06f, 1.31630086e-08f);
    const float q = polynomial(a.square, 1.0f, 0.332501678f, 0.0482322849f, 0.00375315829f,
                               0.000245935574f, 1.14329808e-05f, 5.46214822e-07f);
    return a.of(p, q);
}
TL_INLINE double gelu_tanh_slope(double any) {
    const double x = limited(any, 40.0);
    const double s = sigmoid(1.5957691216057308 * x * (1 + 0.044715 * x * x));
    return s + x * s * (1 - s) * 1.5957691216057308 * (1 + 0.134145 * x * x);
}

}  // namespace tl
