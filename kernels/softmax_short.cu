// Softmax and log-softmax under autocast: x and dx are in 16 bits, y and g in float32. The formulas are those
// of softmax.cu.
#include "tensorlite.h"

namespace tl {

template <SHORT T>
ROWS(rows, columns)
void softmax_of_short(const T* x OF(rows * columns), float* y LIKE(x), Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            const auto powers = team.powers([&](Slot j) { return in[j]; }, in);
            const auto scale = 1 / powers.sum;
            team.store(y + r * columns, [&](Slot j) { return powers[j] * scale; }, in);
        }
    });
}

template <SHORT T>
ROWS(rows, columns)
void softmax_backward_to_short(const float* g OF(rows * columns), const float* y OF(rows * columns),
                               T* dx OF(rows * columns), Index rows, Index columns) {
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

template <SHORT T>
ROWS(rows, columns)
void log_softmax_of_short(const T* x OF(rows * columns), float* y LIKE(x), Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            const auto shift = team.log_sum_exp([&](Slot j) { return in[j]; }, in);
            team.store(y + r * columns, [&](Slot j) { return in[j] - shift; }, in);
        }
    });
}

template <SHORT T>
ROWS(rows, columns)
void log_softmax_backward_to_short(const float* g OF(rows * columns), const float* y OF(rows * columns),
                                   T* dx OF(rows * columns), Index rows, Index columns) {
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
