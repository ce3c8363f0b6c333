// Softmax cross-entropy of each row against a class index.
//
// With class weights w, smoothing s, C classes and label y, torch's definition:
//
//     loss = (1 - s) w_y (lse - x_y) + s/C sum_c w_c (lse - x_c),      lse = log sum exp x
//     dx_c = softmax(x)_c ((1 - s) w_y + s/C sum w) - (1 - s) w_y [c = y] - s/C w_c
//
// Rows with ignore_index give 0. A label that is no class reads nothing and gives NaN.
#include "tensorlite.h"

namespace tl {

// total = sum of w_y over the labels that count: the divisor of a mean
template <typename T>
ROWS(1, n)
void label_weight(const Index* labels OF(n), const T* weight OPTIONAL(classes),
                  Acc<T>* total OF(1), Index n, Index classes, Index ignore_index) {
    using A = Acc<T>;
    each_team<Index>(1, n, [=](auto team) {
        for (Index r : team) {
            const auto all = team.row(labels + r * n);
            auto counts = [&](Slot j) { return all[j] != ignore_index && all[j] >= 0 && all[j] < classes; };
            const A sum = weight ? team.sum([&](Slot j) { return counts(j) ? A(weight[all[j]]) : A(0); })
                                 : team.sum([&](Slot j) { return counts(j) ? A(1) : A(0); });
            if (team.leader()) total[r] = sum;
        }
    });
}

// loss of each row, divided by *divisor where given; dx, where given, is the gradient of that
template <typename T>
ROWS(rows, classes)
void cross_entropy(const T* x OF(rows * classes), const Index* labels OF(rows),
                   const T* weight OPTIONAL(classes), const Acc<T>* divisor OPTIONAL(1),
                   Acc<T>* loss OF(rows), T* dx OPTIONAL(rows * classes), Index rows, Index classes,
                   Index ignore_index, double smoothing) {
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
            const A peak = team.max([&](Slot j) { return in[j]; });
            auto power = [&](Slot j) { return exp(in[j] - peak); };
            const auto powers = team.keep(power);
            const A lse = peak + log(powers.sum);
            const A own = valid ? (1 - A(smoothing)) * (weight ? A(weight[label]) : A(1)) : A(NAN);
            A value = own * lse;
            if (smoothing > 0) value += spread * team.sum([&](Slot j) { return w[j] * (lse - in[j]); });
            if (team.leader()) loss[r] = scale * (valid ? value - own * A(x[r * classes + label]) : own);
            if (!dx) continue;
            const A factor = (own + all) * scale / powers.sum;
            auto plain = [&](Slot j) {
                return powers[j] * factor - (int(column(j)) == int(label) ? own * scale : A(0));
            };
            if (spread == 0)
                team.store(dx + r * classes, plain);
            else
                team.store(dx + r * classes, [&](Slot j) { return plain(j) - spread * scale * w[j]; });
        }
    });
}

}  // namespace tl
