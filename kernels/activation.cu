// Activations and their gradients. A gradient reads what is cheapest to keep: the output where the
// derivative is a function of it, else the input.
#include "activation.h"

namespace tl {

template <typename T>
EACH(n)
void relu(const T* x OF(n), T* y OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = relu_of(x); }, x, out(y));
}

template <typename T>
EACH(n)
void relu_backward(const T* g OF(n), const T* y OF(n), T* dx OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A y, A& dx) { dx = y > 0 ? g : 0; }, g, y, out(dx));
}

template <typename T>
EACH(n)
void leaky_relu(const T* x OF(n), T* y OF(n), Index n, double slope) {
    using A = Acc<T>;
    map(n, [a = A(slope)](A x, A& y) { y = x > 0 ? x : a * x; }, x, out(y));
}

template <typename T>
EACH(n)
void leaky_relu_backward(const T* g OF(n), const T* x OF(n), T* dx OF(n), Index n, double slope) {
    using A = Acc<T>;
    map(n, [a = A(slope)](A g, A x, A& dx) { dx = x > 0 ? g : a * g; }, g, x, out(dx));
}

template <typename T>
EACH(n)
void gelu(const T* x OF(n), T* y OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = gelu_of(x); }, x, out(y));
}

template <typename T>
EACH(n)
void gelu_backward(const T* g OF(n), const T* x OF(n), T* dx OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A x, A& dx) { dx = g * gelu_slope(x); }, g, x, out(dx));
}

template <typename T>
EACH(n)
void gelu_tanh(const T* x OF(n), T* y OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = gelu_tanh_of(x); }, x, out(y));
}

template <typename T>
EACH(n)
void gelu_tanh_backward(const T* g OF(n), const T* x OF(n), T* dx OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A x, A& dx) { dx = g * gelu_tanh_slope(x); }, g, x, out(dx));
}

// y = x sigmoid(x)
template <typename T>
EACH(n)
void silu(const T* x OF(n), T* y OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = x * sigmoid(x); }, x, out(y));
}

template <typename T>
EACH(n)
void silu_backward(const T* g OF(n), const T* x OF(n), T* dx OF(n), Index n) {
    using A = Acc<T>;
    auto rule = [](A g, A x, A& dx) {
        const A s = sigmoid(x);
        dx = g * s * (1 + x * (1 - s));
    };
    map(n, rule, g, x, out(dx));
}

template <typename T>
EACH(n)
void tanh(const T* x OF(n), T* y OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = tanh(x); }, x, out(y));
}

template <typename T>
EACH(n)
void tanh_backward(const T* g OF(n), const T* y OF(n), T* dx OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A y, A& dx) { dx = g * (1 - y * y); }, g, y, out(dx));
}

template <typename T>
EACH(n)
void sigmoid(const T* x OF(n), T* y OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = sigmoid(x); }, x, out(y));
}

template <typename T>
EACH(n)
void sigmoid_backward(const T* g OF(n), const T* y OF(n), T* dx OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A y, A& dx) { dx = g * y * (1 - y); }, g, y, out(dx));
}

// y = x above 0, alpha (exp(x) - 1) below
template <typename T>
EACH(n)
void elu(const T* x OF(n), T* y OF(n), Index n, double alpha) {
    using A = Acc<T>;
    auto rule = [a = A(alpha)](A x, A& y) {
        const A below = a * expm1(x);  // always computed: a branch would not vectorise
        y = x > 0 ? x : below;
    };
    map(n, rule, x, out(y));
}

template <typename T>
EACH(n)
void elu_backward(const T* g OF(n), const T* x OF(n), T* dx OF(n), Index n, double alpha) {
    using A = Acc<T>;
    auto rule = [a = A(alpha)](A g, A x, A& dx) {
        const A below = a * exp(x);
        dx = x > 0 ? g : g * below;
    };
    map(n, rule, g, x, out(dx));
}

// y = log(1 + exp(x))
template <typename T>
EACH(n)
void softplus(const T* x OF(n), T* y OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = relu_of(x) + log1p(exp(-abs(x))); }, x, out(y));
}

template <typename T>
EACH(n)
void softplus_backward(const T* g OF(n), const T* x OF(n), T* dx OF(n), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A x, A& dx) { dx = g * sigmoid(x); }, g, x, out(dx));
}

}  // namespace tl
