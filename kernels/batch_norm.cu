// Batch norm over (n, channels, size), size 1 for (n, channels). Every sum is taken in two stages: a
// plane (one image, one channel) by one team, then the planes of a channel in order.
#include "tensorlite.h"

namespace tl {

// The mean of each plane, and its sum of squared deviations from that mean.
template <typename T>
ROWS(planes, size)
void plane_moments(const T* x OF(planes * size), Acc<T>* mean OF(planes),
                   Acc<T>* squares OF(planes), Index planes, Index size) {
    using A = Acc<T>;
    each_team<T>(planes, size, [=](auto team) {
        for (Index p : team) {
            const auto in = team.row(x + p * size);
            const A mu = team.sum([&](Slot j) { return in[j]; }) / A(size);
            const A sum = team.sum([&](Slot j) { return (in[j] - mu) * (in[j] - mu); });
            if (team.leader()) mean[p] = mu, squares[p] = sum;
        }
    });
}

// The mean of each channel and its variance (over the number of elements), from those of its planes.
// For size 1 a plane is its own mean, and has no squares.
template <typename T>
EACH(channels)
void channel_moments(const T* plane_mean OF(n * channels),
                     const Acc<T>* plane_squares OPTIONAL(n * channels), Acc<T>* mean OF(channels),
                     Acc<T>* variance OF(channels), Index n, Index channels, Index size) {
    using A = Acc<T>;
    each(channels, [=](Index c) {
        A total = 0, squares = 0;
        for (Index i = 0; i < n; ++i) total += A(plane_mean[i * channels + c]);
        const A mu = total / A(n);
        for (Index i = 0; i < n; ++i) {
            const A off = A(plane_mean[i * channels + c]) - mu;
            squares += A(size) * off * off + (plane_squares ? plane_squares[i * channels + c] : A(0));
        }
        mean[c] = mu;
        variance[c] = squares / A(n * size);
    });
}

// y = (x - mean) rstd weight + bias, the four by channel
template <typename T>
ROWS(n * channels, size)
void batch_norm(const T* x OF(n * channels * size), const Acc<T>* mean OF(channels),
                const Acc<T>* rstd OF(channels), const T* weight OPTIONAL(channels),
                const T* bias OPTIONAL(channels), T* y OF(n * channels * size), Index n,
                Index channels, Index size) {
    using A = Acc<T>;
    each_team<T>(n * channels, size, [=](auto team) {
        for (Index p : team) {
            const Index c = p % channels;
            const A mu = mean[c], scale = rstd[c] * (weight ? A(weight[c]) : A(1));
            const A shift = bias ? A(bias[c]) : A(0);
            const auto in = team.row(x + p * size);
            team.store(y + p * size, [&](Slot j) { return (in[j] - mu) * scale + shift; });
        }
    });
}

// By plane: the sum of g, and of g z with z = (x - mean) rstd. Their sums over the planes of a channel
// (column_total) are the gradients of bias and weight.
template <typename T>
ROWS(n * channels, size)
void batch_norm_sums(const T* g OF(n * channels * size), const T* x OF(n * channels * size),
                     const Acc<T>* mean OF(channels), const Acc<T>* rstd OF(channels),
                     Acc<T>* sum_g OF(n * channels), Acc<T>* sum_gz OF(n * channels), Index n,
                     Index channels, Index size) {
    using A = Acc<T>;
    each_team<T>(n * channels, size, [=](auto team) {
        for (Index p : team) {
            const A mu = mean[p % channels], scale = rstd[p % channels];
            const auto gradient = team.row(g + p * size), in = team.row(x + p * size);
            const A plain = team.sum([&](Slot j) { return gradient[j]; });
            const A weighted = team.sum([&](Slot j) { return gradient[j] * ((in[j] - mu) * scale); });
            if (team.leader()) sum_g[p] = plain, sum_gz[p] = weighted;
        }
    });
}

// dx = weight rstd (g - dbias / m - z dweight / m), m = n size elements a channel
template <typename T>
ROWS(n * channels, size)
void batch_norm_backward(const T* g OF(n * channels * size), const T* x OF(n * channels * size),
                         const Acc<T>* mean OF(channels), const Acc<T>* rstd OF(channels),
                         const T* weight OPTIONAL(channels), const Acc<T>* dweight OF(channels),
                         const Acc<T>* dbias OF(channels), T* dx OF(n * channels * size), Index n,
                         Index channels, Index size) {
    using A = Acc<T>;
    each_team<T>(n * channels, size, [=](auto team) {
        for (Index p : team) {
            const Index c = p % channels;
            const A mu = mean[c], count = A(n * size);
            const A scale = rstd[c] * (weight ? A(weight[c]) : A(1));
            const A level = dbias[c] / count, slope = dweight[c] / count * rstd[c];
            const auto gradient = team.row(g + p * size), in = team.row(x + p * size);
            team.store(dx + p * size, [&](Slot j) {
                return scale * (gradient[j] - level - (in[j] - mu) * slope);
            });
        }
    });
}

}  // namespace tl
