// Arithmetic over whole arrays.
#include "tensorlite.h"

namespace tl {

// y = T(x)
template <typename S, typename T>
EACH(n)
void cast(const S* x OF(n), T* y OF(n), Index n) {
    map(n, [](Acc<S> x, Acc<T>& y) { y = Acc<T>(x); }, x, out(y));
}

// y = factor x
template <typename T>
EACH(n)
void scale(const T* x OF(n), T* y OF(n), Index n, double factor) {
    using A = Acc<T>;
    map(n, [a = A(factor)](A x, A& y) { y = a * x; }, x, out(y));
}

// y = *factor x, with the factor on the device
template <typename T>
EACH(n)
void scale_by(const T* x OF(n), const T* factor OF(1), T* y OF(n), Index n) {
    using A = Acc<T>;
    map(n, [a = A(*factor)](A x, A& y) { y = a * x; }, x, out(y));
}

// y += factor x
template <typename T>
EACH(n)
void axpy(const T* x OF(n), T* y OF(n), Index n, double factor) {
    using A = Acc<T>;
    map(n, [a = A(factor)](A x, A& y) { y += a * x; }, x, inout(y));
}

}  // namespace tl
