// Layer norm and RMS norm over rows, of float types that may differ: of x, of the parameters, of y, of a
// copy of y. T is what the teams are made for.
//
// The backward passes read each row once, and leave one row of partial weight and bias gradients a team
// for column_total.
#pragma once

#include "tensorlite.h"

namespace tl {

// y = (x - mean) rstd weight + bias, rstd = 1 / sqrt(variance + eps); and a copy of y where given
template <typename T, typename X, typename W, typename Y, typename C>
TL_INLINE void normalize(const X* x, const W* weight, const W* bias, Y* y, C* copy, Acc<T>* mean,
                         Acc<T>* rstd, Index rows, Index columns, double eps) {
    using A = Acc<T>;
    each_team<T>(rows, columns, [=](auto team) {
        const auto w = team.row_or(weight, A(1));
        const auto b = team.row_or(bias, A(0));
        for (Index r : team) {
            const auto in = team.row(x + r * columns);
            const auto moments = team.moments([&](Slot j) { return in[j]; }, in);
            const A mu = moments.first, scale = 1 / sqrt(moments.second / A(columns) + A(eps));
            auto value = [&](Slot j) { return (in[j] - mu) * scale * w[j] + b[j]; };
            team.store(y + r * columns, value, in, w, b);
            if (copy) team.store(copy + r * columns, value, in, w, b);
            if (team.leader()) mean[r] = mu, rstd[r] = scale;
        }
    });
}

// With h = g weight and z = (x - mean) rstd:  dx = rstd (h - mean(h) - z mean(h z)),
// dweight = sum of g z and dbias = sum of g over the rows
template <typename T, typename G, typename X, typename W>
TL_INLINE void normalize_backward(const G* g, const X* x, const Acc<T>* mean, const Acc<T>* rstd,
                                  const W* weight, X* dx, Acc<T>* dweight, Acc<T>* dbias, Index rows,
                                  Index columns, Index parts) {
    using A = Acc<T>;
    each_team<T>(parts, columns, rows, [=](auto team) {
        const auto w = team.row_or(weight, A(1));
        const A part = 1 / A(columns);  // a division of doubles is a call, here where it costs nothing
        for (Index p : team) {
            auto weight_sums = team.sums(dweight + p * columns);
            auto bias_sums = team.sums(dbias + p * columns);
            const Share mine = share(rows, p, parts);
            for (Index r = mine.first; r < mine.last; ++r) {
                const auto gradient = team.row(g + r * columns);
                const auto in = team.row(x + r * columns);
                const A mu = mean[r], scale = rstd[r];
                auto z = [&](Slot j) { return (in[j] - mu) * scale; };
                auto h = [&](Slot j) { return gradient[j] * w[j]; };
                const auto sums = team.sums_of(
                    h, [&](Slot j) { return h(j) * z(j); }, gradient, in, w);
                const A mean_h = sums.first * part, mean_hz = sums.second * part;
                team.store(dx + r * columns, [&](Slot j) {
                    // All is read before anything is written: a CPU takes what lies at the same place
                    // of another page for what was just written, and waits.
                    const A change = scale * (h(j) - mean_h - z(j) * mean_hz);
                    const A weight_sum = weight_sums[j] + gradient[j] * z(j);
                    const A bias_sum = bias_sums[j] + gradient[j];
                    weight_sums[j] = weight_sum;
                    bias_sums[j] = bias_sum;
                    return change;
                });
            }
            team.finish(weight_sums);
            team.finish(bias_sums);
        }
    });
}

// y = x rstd weight, rstd = 1 / sqrt(mean(x^2) + eps); and a copy of y where given
template <typename T, typename X, typename W, typename Y, typename C>
TL_INLINE void scale_rows(const X* x, const W* weight, Y* y, C* copy, Acc<T>* rstd, Index rows,
                          Index columns, double eps) {
    using A = Acc<T>;
    each_team<T>(rows, columns, [=](auto team) {
        const auto w = team.row_or(weight, A(1));
        for (Index r : team) {
            const auto in = team.row(x + r * columns);
            const A squares = team.sum([&](Slot j) { return in[j] * in[j]; }, in);
            const A scale = 1 / sqrt(squares / A(columns) + A(eps));
            auto value = [&](Slot j) { return in[j] * scale * w[j]; };
            team.store(y + r * columns, value, in, w);
            if (copy) team.store(copy + r * columns, value, in, w);
            if (team.leader()) rstd[r] = scale;
        }
    });
}

// With h = g weight and z = x rstd:  dx = rstd (h - z mean(h z)),  dweight = sum of g z
template <typename T, typename G, typename X, typename W>
TL_INLINE void scale_rows_backward(const G* g, const X* x, const Acc<T>* rstd, const W* weight, X* dx,
                                   Acc<T>* dweight, Index rows, Index columns, Index parts) {
    using A = Acc<T>;
    each_team<T>(parts, columns, rows, [=](auto team) {
        const auto w = team.row_or(weight, A(1));
        for (Index p : team) {
            auto weight_sums = team.sums(dweight + p * columns);
            const Share mine = share(rows, p, parts);
            for (Index r = mine.first; r < mine.last; ++r) {
                const auto gradient = team.row(g + r * columns);
                const auto in = team.row(x + r * columns);
                const A scale = rstd[r];
                auto z = [&](Slot j) { return in[j] * scale; };
                auto h = [&](Slot j) { return gradient[j] * w[j]; };
                const A mean_hz = team.sum([&](Slot j) { return h(j) * z(j); }, gradient, in, w) / A(columns);
                team.store(dx + r * columns, [&](Slot j) {
                    const A change = scale * (h(j) - z(j) * mean_hz);
                    weight_sums[j] += gradient[j] * z(j);
                    return change;
                });
            }
            team.finish(weight_sums);
        }
    });
}

}  // namespace tl
