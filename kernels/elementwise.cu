// Arithmetic over whole arrays.
#include "tensorlite.h"

namespace tl {

template <REAL T>
EACH(n)
void exp(const T* x OF(n), T* y OF(n), Index n) {
    map(n, [](T x, T& y) { y = exp(x); }, x, out(y));
}

template <REAL T>
EACH(n)
void expm1(const T* x OF(n), T* y OF(n), Index n) {
    map(n, [](T x, T& y) { y = expm1(x); }, x, out(y));
}

template <REAL T>
EACH(n)
void log(const T* x OF(n), T* y OF(n), Index n) {
    map(n, [](T x, T& y) { y = log(x); }, x, out(y));
}

// x >= 0
template <REAL T>
EACH(n)
void log1p(const T* x OF(n), T* y OF(n), Index n) {
    map(n, [](T x, T& y) { y = log1p(x); }, x, out(y));
}

template <REAL T>
EACH(n)
void erf(const T* x OF(n), T* y OF(n), Index n) {
    map(n, [](T x, T& y) { y = erf(x); }, x, out(y));
}

// x on its way to a 16-bit type: rounded to odd, so that rounding again gives what one rounding would
// (Boldo and Melquiond, "When double rounding is odd", 2005).
TL_INLINE float halfway(double x) {
    const float nearest = float(x);
    const double error = x - double(nearest);
    const uint32_t bits = bits_of(nearest);
    const uint32_t towards_x = (error > 0) == (nearest > 0) ? bits + 1 : bits - 1;
    return error != 0 && error == error && bits % 2 == 0 ? float_of(towards_x) : nearest;
}
TL_INLINE float halfway(float x) { return x; }

// y = T(x)
template <STORED S, STORED T>
EACH(n)
void cast(const S* x OF(n), T* y OF(n), Index n) {
    auto convert = [](Acc<S> x, Acc<T>& y) {
        if constexpr (sizeof(T) == 2) {
            y = halfway(x);
        } else {
            y = Acc<T>(x);
        }
    };
    map(n, convert, x, out(y));
}

// y = factor x
template <typename T>
EACH(n)
void scale(const T* x OF(n), T* y OF(n), Index n, double factor) {
    using A = Acc<T>;
    map(n, [a = A(factor)](A x, A& y) { y = a * x; }, x, out(y));
}

// y = *factor x, with the factor on the device; where y is x and the factor 1, there is nothing to do
template <typename T>
EACH(n)
void scale_by(const T* x OF(n), const T* factor OF(1), T* y OF(n), Index n) {
    using A = Acc<T>;
    if (x == y && A(*factor) == 1) return;
    map(n, [a = A(*factor)](A x, A& y) { y = a * x; }, x, out(y));
}

// z = x y
template <typename T>
EACH(n)
void multiply(const T* x OF(n), const T* y OF(n), T* z OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A y, A& z) { z = x * y; }, x, y, out(z));
}

// z = factor x + y
template <typename T>
EACH(n)
void axpy(const T* x OF(n), const T* y OF(n), T* z OF(n), Index n, double factor) {
    using A = Acc<T>;
    map(n, [a = A(factor)](A x, A y, A& z) { z = a * x + y; }, x, y, out(z));
}

}  // namespace tl
