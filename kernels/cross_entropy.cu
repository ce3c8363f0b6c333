// Softmax cross-entropy of each row against a class index: see cross_entropy.h.
#include "cross_entropy.h"

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

#if !defined(__CUDACC__)
// A row of few classes fills no vector: of these as many rows as a vector has lanes are computed
// side by side, without weights and smoothing.
constexpr Index kFewClasses = 64;

template <typename T>
void cross_entropy_of_few(const T* x, const Index* labels, const Acc<T>* divisor, Acc<T>* loss, T* dx,
                          Index rows, Index classes, Index ignore_index) {
    using A = Acc<T>;
    constexpr Index kLanes = 64 / sizeof(A);
    const A scale = divisor ? A(1) / *divisor : A(1);
    const Index groups = (rows + kLanes - 1) / kLanes, grain = kGrain / (kLanes * classes) + 1;
    parallel_range(groups, grain, [=](Index begin, Index end) {
        A at[kFewClasses][kLanes], peak[kLanes], total[kLanes], factor[kLanes];
        for (Index first = begin * kLanes; first < rows && first < end * kLanes; first += kLanes) {
            const Index count = first + kLanes < rows ? kLanes : rows - first;
            for (Index lane = 0; lane < kLanes; ++lane) {  // missing rows repeat the last
                const T* row = x + (first + (lane < count ? lane : count - 1)) * classes;
                for (Index j = 0; j < classes; ++j) at[j][lane] = A(row[j]);
            }
            for (Index lane = 0; lane < kLanes; ++lane) peak[lane] = -INFINITY, total[lane] = 0;
            for (Index j = 0; j < classes; ++j)
                for (Index lane = 0; lane < kLanes; ++lane)
                    peak[lane] = at[j][lane] > peak[lane] ? at[j][lane] : peak[lane];
            for (Index j = 0; j < classes; ++j)
                for (Index lane = 0; lane < kLanes; ++lane) {
                    at[j][lane] = exp(at[j][lane] - peak[lane]);
                    total[lane] += at[j][lane];
                }
            for (Index lane = 0; lane < kLanes; ++lane) {
                factor[lane] = scale / total[lane];
                peak[lane] += log(total[lane]);
            }
            for (Index lane = 0; lane < count; ++lane) {
                const Index r = first + lane, label = labels[r];
                const bool counts = label != ignore_index, valid = label >= 0 && label < classes;
                loss[r] = !counts ? 0 * scale  // NaN where nothing counts: no mean
                          : valid ? scale * (peak[lane] - A(x[r * classes + label])) : A(NAN);
                if (!dx) continue;
                const A each = !counts ? A(0) : valid ? factor[lane] : A(NAN);
                for (Index j = 0; j < classes; ++j)
                    dx[r * classes + j] =
                        counts ? T(at[j][lane] * each - (j == label ? scale : A(0))) : T(A(0));
            }
        }
    });
}
#endif

template <typename T>
ROWS(rows, classes)
void cross_entropy(const T* x OF(rows * classes), const Index* labels OF(rows),
                   const T* weight OPTIONAL(classes), const Acc<T>* divisor OPTIONAL(1),
                   Acc<T>* loss OF(rows), T* dx OPTIONAL(rows * classes), Index rows, Index classes,
                   Index ignore_index, double smoothing) {
#if !defined(__CUDACC__)
    if (classes <= kFewClasses && !weight && smoothing == 0)
        return cross_entropy_of_few(x, labels, divisor, loss, dx, rows, classes, ignore_index);
#endif
    losses_of_rows(x, labels, weight, divisor, loss, dx, rows, classes, ignore_index, smoothing);
}

}  // namespace tl
