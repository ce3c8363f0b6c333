// softmax and log-softmax over rows, and their gradients.
#include "tensorlite.h"

namespace tl {

// y = exp(x - max x) / sum exp(x - max x)
template <typename T>
ROWS(rows, columns)
void softmax(const T* x OF(rows * columns), T* y LIKE(x), Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            const auto powers = team.powers([&](Slot j) { return in[j]; }, in);
            const auto scale = 1 / powers.sum;
            team.store(y + r * columns, [&](Slot j) { return powers[j] * scale; }, in);
        }
    });
}

// dx = y (g - sum g y)
template <typename T>
ROWS(rows, columns)
void softmax_backward(const T* g OF(rows * columns), const T* y OF(rows * columns),
                      T* dx LIKE(g), Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto gradient = team.row(g + r * columns);
            auto out = team.row(y + r * columns);
            const auto mean = team.sum([&](Slot j) { return gradient[j] * out[j]; }, gradient, out);
            team.store(
                dx + r * columns, [&](Slot j) { return out[j] * (gradient[j] - mean); }, gradient, out);
        }
    });
}

// y = x - max x - log sum exp(x - max x)
template <typename T>
ROWS(rows, columns)
void log_softmax(const T* x OF(rows * columns), T* y LIKE(x), Index rows,
                 Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            const auto shift = team.log_sum_exp([&](Slot j) { return in[j]; }, in);
            team.store(y + r * columns, [&](Slot j) { return in[j] - shift; }, in);
        }
    });
}

// dx = g - exp(y) sum g
template <typename T>
ROWS(rows, columns)
void log_softmax_backward(const T* g OF(rows * columns), const T* y OF(rows * columns),
                          T* dx LIKE(g), Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto gradient = team.row(g + r * columns);
            auto out = team.row(y + r * columns);
            const auto total = team.sum([&](Slot j) { return gradient[j]; }, gradient);
            team.store(
                dx + r * columns, [&](Slot j) { return gradient[j] - exp(out[j]) * total; }, gradient,
                out);
        }
    });
}

}  // namespace tl
