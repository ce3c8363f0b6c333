// Sums and products of whole arrays.
#include "tensorlite.h"

namespace tl {

// y = factor x
template <typename T>
EACH(n)
void scale(const T* x OF(n), T* y LIKE(x), Index n, double factor) {
    using A = Acc<T>;
    map(n, [a = A(factor)](A x, A& y) { y = a * x; }, x, out(y));
}

// y = *factor x, with the factor on the device; where y is x and the factor 1, there is nothing to do.
// In place, zeros stay what they are whatever the factor: gaps between gradients must never be NaN.
template <typename T>
EACH(n)
void scale_by(const T* x OF(n), const T* factor OF(1), T* y LIKE(x), Index n) {
    using A = Acc<T>;
    const A a = A(*factor);
    if (x == y && a == 1) return;
    if (x == y && a != a) {
        map(n, [a](A x, A& y) { y = x == 0 ? x : a; }, x, out(y));
        return;
    }
    map(n, [a](A x, A& y) { y = a * x; }, x, out(y));
}

// z = x y
template <typename T>
EACH(n)
void multiply(const T* x OF(n), const T* y OF(n), T* z LIKE(x), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A y, A& z) { z = x * y; }, x, y, out(z));
}

// z = factor x + y
template <typename T>
EACH(n)
void axpy(const T* x OF(n), const T* y OF(n), T* z LIKE(x), Index n, double factor) {
    using A = Acc<T>;
    map(n, [a = A(factor)](A x, A y, A& z) { z = a * x + y; }, x, y, out(z));
}

// ---- of x in 16 bits and float32 numbers, under autocast

// z = a x + b y
template <SHORT T>
EACH(n)
void add_short(const T* x OF(n), const float* y OF(n), float* z LIKE(x), Index n, double a, double b) {
    map(n, [a = float(a), b = float(b)](float x, float y, float& z) { z = a * x + b * y; }, x, y, out(z));
}

// x *= *factor, a number on the device; where it is 1, there is nothing to do.
template <SHORT T>
EACH(n)
void scale_short(T* x OF(n), const float* factor OF(1), Index n) {
    const float a = *factor;
    if (a != 1) map(n, [a](float& x) { x = a * x; }, inout(x));
}

}  // namespace tl
