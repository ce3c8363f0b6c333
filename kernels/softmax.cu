// softmax and log-softmax over rows, and their gradients.
#include "tensorlite.h"

namespace tl {

// y = exp(x - max x) / sum exp(x - max x)
template <typename T>
ROWS(rows, columns)
void softmax(const T* x OF(rows * columns), T* y OF(rows * columns), Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            const auto peak = team.max([&](Slot j) { return in[j]; });
            auto power = [&](Slot j) { return exp(in[j] - peak); };
            auto powers = team.keep(power);
            const auto scale = 1 / powers.sum;
            team.store(y + r * columns, [&](Slot j) { return powers[j] * scale; });
        }
    });
}

// dx = y (g - sum g y)
template <typename T>
ROWS(rows, columns)
void softmax_backward(const T* g OF(rows * columns), const T* y OF(rows * columns),
                      T* dx OF(rows * columns), Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto gradient = team.row(g + r * columns);
            auto out = team.row(y + r * columns);
            const auto mean = team.sum([&](Slot j) { return gradient[j] * out[j]; });
            team.store(dx + r * columns, [&](Slot j) { return out[j] * (gradient[j] - mean); });
        }
    });
}

// y = x - max x - log sum exp(x - max x)
template <typename T>
ROWS(rows, columns)
void log_softmax(const T* x OF(rows * columns), T* y OF(rows * columns), Index rows,
                 Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            const auto peak = team.max([&](Slot j) { return in[j]; });
            const auto shift = peak + log(team.sum([&](Slot j) { return exp(in[j] - peak); }));
            team.store(y + r * columns, [&](Slot j) { return in[j] - shift; });
        }
    });
}

// dx = g - exp(y) sum g
template <typename T>
ROWS(rows, columns)
void log_softmax_backward(const T* g OF(rows * columns), const T* y OF(rows * columns),
                          T* dx OF(rows * columns), Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto gradient = team.row(g + r * columns);
            auto out = team.row(y + r * columns);
            const auto total = team.sum([&](Slot j) { return gradient[j]; });
            team.store(dx + r * columns, [&](Slot j) { return gradient[j] - exp(out[j]) * total; });
        }
    });
}

}  // namespace tl
