// What cuts off below zero, and the gradients: from the output where the slope is a function of it.
#include "activation.h"

namespace tl {

template <typename T>
EACH(n)
void relu(const T* x OF(n), T* y LIKE(x), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = relu_of(x); }, x, out(y));
}

template <typename T>
EACH(n)
void relu_backward(const T* g OF(n), const T* y OF(n), T* dx LIKE(g), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A y, A& dx) { dx = y > 0 ? g : 0; }, g, y, out(dx));
}

template <typename T>
EACH(n)
void leaky_relu(const T* x OF(n), T* y LIKE(x), Index n, double slope) {
    using A = Acc<T>;
    auto rule = [a = A(slope)](A x, A& y) {
        const A below = a * x;
        y = x > 0 ? x : below;
    };
    map(n, rule, x, out(y));
}

template <typename T>
EACH(n)
void leaky_relu_backward(const T* g OF(n), const T* x OF(n), T* dx LIKE(g), Index n, double slope) {
    using A = Acc<T>;
    auto rule = [a = A(slope)](A g, A x, A& dx) {
        const A below = a * g;
        dx = x > 0 ? g : below;
    };
    map(n, rule, g, x, out(dx));
}

}  // namespace tl
