// Activations and their gradients. A gradient reads what is cheapest to keep: the output where the
// derivative is a function of it, else the input.
#include "activation.h"

namespace tl {

template <typename T>
EACH(n)
void gelu(const T* x OF(n), T* y LIKE(x), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = gelu_of(x); }, x, out(y));
}

template <typename T>
EACH(n)
void gelu_backward(const T* g OF(n), const T* x OF(n), T* dx LIKE(g), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A x, A& dx) { dx = g * gelu_slope(x); }, g, x, out(dx));
}

template <typename T>
EACH(n)
void gelu_tanh(const T* x OF(n), T* y LIKE(x), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = gelu_tanh_of(x); }, x, out(y));
}

template <typename T>
EACH(n)
void gelu_tanh_backward(const T* g OF(n), const T* x OF(n), T* dx LIKE(g), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A x, A& dx) { dx = g * gelu_tanh_slope(x); }, g, x, out(dx));
}

// y = x sigmoid(x)
template <typename T>
EACH(n)
void silu(const T* x OF(n), T* y LIKE(x), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = (x < -800 ? A(-800) : x) * sigmoid(x); }, x, out(y));
}

template <typename T>
EACH(n)
void silu_backward(const T* g OF(n), const T* x OF(n), T* dx LIKE(g), Index n) {
    using A = Acc<T>;
    auto rule = [](A g, A any, A& dx) {
        const A x = limited(any, A(800)), s = sigmoid(x);
        dx = g * s * (1 + x * (1 - s));
    };
    map(n, rule, g, x, out(dx));
}

template <typename T>
EACH(n)
void tanh(const T* x OF(n), T* y LIKE(x), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = tanh(x); }, x, out(y));
}

template <typename T>
EACH(n)
void tanh_backward(const T* g OF(n), const T* y OF(n), T* dx LIKE(g), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A y, A& dx) { dx = g * (1 - y * y); }, g, y, out(dx));
}

template <typename T>
EACH(n)
void sigmoid(const T* x OF(n), T* y LIKE(x), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = sigmoid(x); }, x, out(y));
}

template <typename T>
EACH(n)
void sigmoid_backward(const T* g OF(n), const T* y OF(n), T* dx LIKE(g), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A y, A& dx) { dx = g * y * (1 - y); }, g, y, out(dx));
}

// y = x above 0, alpha (exp(x) - 1) below
template <typename T>
EACH(n)
void elu(const T* x OF(n), T* y LIKE(x), Index n, double alpha) {
    using A = Acc<T>;
    auto rule = [a = A(alpha)](A x, A& y) {
        const A below = a * expm1(x);  // always computed: a branch would not vectorise
        y = x > 0 ? x : below;
    };
    map(n, rule, x, out(y));
}

template <typename T>
EACH(n)
void elu_backward(const T* g OF(n), const T* x OF(n), T* dx LIKE(g), Index n, double alpha) {
    using A = Acc<T>;
    auto rule = [a = A(alpha)](A g, A x, A& dx) {
        const A below = a * exp(x);
        dx = x > 0 ? g : g * below;
    };
    map(n, rule, g, x, out(dx));
}

// y = log(1 + exp(x)), and x above `threshold`
template <typename T>
EACH(n)
void softplus(const T* x OF(n), T* y LIKE(x), Index n, double threshold) {
    using A = Acc<T>;
    auto rule = [t = A(threshold)](A x, A& y) {
        const A soft = relu_of(x) + log1p(exp(-abs(x)));
        y = x > t ? x : soft;
    };
    map(n, rule, x, out(y));
}

template <typename T>
EACH(n)
void softplus_backward(const T* g OF(n), const T* x OF(n), T* dx LIKE(g), Index n, double threshold) {
    using A = Acc<T>;
    auto rule = [t = A(threshold)](A g, A x, A& dx) {
        const A soft = g * sigmoid(x);
        dx = x > t ? g : soft;
    };
    map(n, rule, g, x, out(dx));
}

// y = x above 0, weight x below; a weight each of `channels` rows
template <typename T>
ROWS(rows, columns)
void prelu(const T* x OF(rows * columns), const T* weight OF(channels), T* y OF(rows * columns),
           Index rows, Index columns, Index channels) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            const Acc<T> w = Acc<T>(weight[remainder_of(r, channels)]);
            team.store(y + r * columns, [&](Slot j) {
                const Acc<T> below = w * in[j];
                return in[j] > 0 ? in[j] : below;
            });
        }
    });
}

// dx = g above 0, weight g below; partial[r] = the sum of g x below 0 over row r
template <typename T>
ROWS(rows, columns)
void prelu_backward(const T* g OF(rows * columns), const T* x OF(rows * columns),
                    const T* weight OF(channels), T* dx OF(rows * columns),
                    Acc<T>* partial OF(rows), Index rows, Index columns, Index channels) {
    using A = Acc<T>;
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto gradient = team.row(g + r * columns);
            auto in = team.row(x + r * columns);
            const A w = A(weight[remainder_of(r, channels)]);
            auto slope = [&](Slot j) {
                const A below = w * gradient[j];
                return in[j] > 0 ? gradient[j] : below;
            };
            auto below = [&](Slot j) {
                const A product = gradient[j] * in[j];
                return in[j] > 0 ? A(0) : product;
            };
            const A total = team.sum(below);
            team.store(dx + r * columns, slope);
            if (team.leader()) partial[r] = total;
        }
    });
}

// The same with a weight a column, and sums over the rows of part p (see column_total)
template <typename T>
ROWS(rows, columns)
void prelu_columns(const T* x OF(rows * columns), const T* weight OF(columns),
                   T* y OF(rows * columns), Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        const auto w = team.common_row(weight);
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            team.store(y + r * columns, [&](Slot j) {
                const Acc<T> below = w[j] * in[j];
                return in[j] > 0 ? in[j] : below;
            });
        }
    });
}

template <typename T>
ROWS(parts, columns)
void prelu_columns_backward(const T* g OF(rows * columns), const T* x OF(rows * columns),
                            const T* weight OF(columns), T* dx OF(rows * columns),
                            Acc<T>* partial OF(parts * columns), Index rows, Index columns,
                            Index parts) {
    using A = Acc<T>;
    each_team<T>(parts, columns, rows, [=](auto team) {
        const auto w = team.common_row(weight);
        for (Index p : team) {
            auto sums = team.sums(partial + p * columns);
            const Share mine = share(rows, p, parts);
            for (Index r = mine.first; r < mine.last; ++r) {
                auto gradient = team.row(g + r * columns);
                auto in = team.row(x + r * columns);
                team.each([&](Slot j) {
                    const A product = gradient[j] * in[j];
                    sums[j] += in[j] > 0 ? A(0) : product;
                });
                team.store(dx + r * columns, [&](Slot j) {
                    const A below = w[j] * gradient[j];
                    return in[j] > 0 ? gradient[j] : below;
                });
            }
            team.finish(sums);
        }
    });
}

// y = log(sigmoid(x))
template <typename T>
EACH(n)
void logsigmoid(const T* x OF(n), T* y LIKE(x), Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = -relu_of(-x) - log1p(exp(-abs(x))); }, x, out(y));
}

template <typename T>
EACH(n)
void logsigmoid_backward(const T* g OF(n), const T* x OF(n), T* dx LIKE(g), Index n) {
    using A = Acc<T>;
    map(n, [](A g, A x, A& dx) { dx = g * sigmoid(-x); }, g, x, out(dx));
}

// Cross-entropy of sigmoid(x) against t. What the target rules out does not count, be it infinite.
template <typename T>
EACH(n)
void logits_loss(const T* x OF(n), const T* t OF(n), T* y LIKE(x), Index n) {
    using A = Acc<T>;
    auto rule = [](A x, A t, A& y) {
        const A small = log1p(exp(-abs(x)));
        const A yes = t * (small + relu_of(-x)), no = (1 - t) * (small + relu_of(x));
        y = (t == 0 ? A(0) : yes) + (t == 1 ? A(0) : no);
    };
    map(n, rule, x, t, out(y));
}

template <typename T>
EACH(n)
void logits_loss_backward(const T* g OF(n), const T* x OF(n), const T* t OF(n), T* dx LIKE(g), Index n) {
    using A = Acc<T>;
    auto rule = [](A g, A x, A t, A& dx) {
        dx = g * ((1 - t) * sigmoid(x) - t * sigmoid(-x));
    };
    map(n, rule, g, x, t, out(dx));
}

}  // namespace tl
