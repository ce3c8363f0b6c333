// Activations and their gradients. A gradient reads what is cheapest to keep: the output where the
// derivative is a function of it, else the input.
#include "tensorlite.h"

namespace tl {

// y = max(x, 0)
template <typename T>
EACH(n)
void relu(const T* x OF(n), T* y OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = x > 0 ? x : x != x ? x : 0; }, x, out(y));
}

template <typename T>
EACH(n)
void relu_backward(const T* g OF(n), const T* y OF(n), T* dx OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A y, A& dx) { dx = y > 0 ? g : 0; }, g, y, out(dx));
}

}  // namespace tl
