// Softmax cross-entropy of each row against a class index.
//
// With class weights w, smoothing s, C classes and label y, torch's definition:
//
//     loss = (1 - s) w_y (lse - x_y) + s/C sum_c w_c (lse - x_c),      lse = log sum exp x
//     dx_c = softmax(x)_c ((1 - s) w_y + s/C sum w) - (1 - s) w_y [c = y] - s/C w_c
//
// Rows with ignore_index give 0. A label that is no class reads nothing and gives NaN.
#pragma once

#include "tensorlite.h"

namespace tl {

// loss of each row, divided by *divisor where given; dx, where given, is the gradient of that
template <typename T, typename W, typename D>
TL_INLINE void losses_of_rows(const T* x, const Index* labels, const W* weight, const Acc<T>* divisor,
                              Acc<T>* loss, D* dx, Index rows, Index classes, Index ignore_index,
                              double smoothing) {
    using A = Acc<T>;
    each_team<T>(rows, classes, [=](auto team) {
        const A scale = divisor ? A(1) / *divisor : A(1);
        const A spread = A(smoothing) / A(classes);
        const auto w = team.row_or(weight, A(1));
        const A all = spread * team.sum([&](Slot j) { return w[j]; });
        for (Index r : team) {
            const Index label = labels[r];
            if (label == ignore_index) {
                if (team.leader()) loss[r] = 0 * scale;  // NaN where nothing counts: no mean
                if (dx) team.store(dx + r * classes, [](Slot) { return A(0); });
                continue;
            }
            const bool valid = label >= 0 && label < classes;
            const auto in = team.row(x + r * classes);
            const auto powers = team.powers([&](Slot j) { return in[j]; }, in);
            const A peak = powers.peak;
            // Of a class that has no weight the logit, which may be -inf, does not count.
            A value = 0;
            if (smoothing > 0)
                value = spread * team.sum([&](Slot j) {
                    const A share = w[j] * (peak - in[j]);
                    return w[j] == 0 ? A(0) : share;
                }, in, w);
            const A own = valid ? (1 - A(smoothing)) * (weight ? A(weight[label]) : A(1)) : A(NAN);
            if (team.leader()) {
                const A log_total = log(powers.sum);
                value += all * log_total;
                if (own != 0)
                    value += own * (log_total + peak - (valid ? A(x[r * classes + label]) : A(0)));
                loss[r] = scale * value;
            }
            if (!dx) continue;
            const A factor = (own + all) * scale / powers.sum;
            auto plain = [&](Slot j) {
                return powers[j] * factor - (int(column(j)) == int(label) ? own * scale : A(0));
            };
            if (spread == 0)
                team.store(dx + r * classes, plain, in);
            else
                team.store(
                    dx + r * classes, [&](Slot j) { return plain(j) - spread * scale * w[j]; }, in, w);
        }
    });
}

}  // namespace tl
