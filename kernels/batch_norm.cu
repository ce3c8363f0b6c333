// Batch norm over (n, channels, size), size 1 for (n, channels). Every sum is taken in two stages: a
// plane (one image, one channel) by one team, then the planes of a channel in order.
#include "activation.h"
#if defined(__CUDACC__)
#include "device/column_sums.h"
#endif

namespace tl {

// What makes y of x, by channel: (x - mean) rstd weight + bias, then perhaps relu. None of mean and bias
// is 0, of rstd and weight 1.
#define BY_CHANNEL_PARAMETERS(T)                                                        \
    PARAMETERS(const Acc<T>* mean OPTIONAL(channels), const Acc<T>* rstd OPTIONAL(channels), \
               const Acc<T>* weight OPTIONAL(channels), const Acc<T>* bias OPTIONAL(channels), \
               bool relu)

// The same, for one channel.
template <typename T>
struct Channel {
    using A = Acc<T>;
    A mean, rstd, scale, shift;
    TL_INLINE Channel(Index c, const A* means, const A* rstds, const A* weight, const A* bias)
        : mean(means ? means[c] : A(0)), rstd(rstds ? rstds[c] : A(1)),
          scale(rstd * (weight ? weight[c] : A(1))), shift(bias ? bias[c] : A(0)) {}

    TL_INLINE A z(A x) const { return (x - mean) * rstd; }
    TL_INLINE A y(A x, bool relu) const {
        const A y = (x - mean) * scale + shift;
        return relu ? relu_of(y) : y;
    }
    // The gradient that relu lets through: y is computed again, and rounded as it was.
    TL_INLINE A passed(A g, A x, bool relu) const { return !relu || A(T(y(x, false))) > 0 ? g : A(0); }
};

// body(relu), compiled for either.
template <bool with>
struct Relu {
    TL_INLINE constexpr operator bool() const { return with; }
};
template <typename F>
TL_INLINE void with_or_without(bool relu, const F& body) {
    if (relu)
        body(Relu<true>());
    else
        body(Relu<false>());
}

// The mean of each plane, and its sum of squared deviations from that mean.
template <typename T>
ROWS(planes, size)
void plane_moments(const T* x OF(planes * size), Acc<T>* mean OF(planes),
                   Acc<T>* squares OF(planes), Index planes, Index size) {
    using A = Acc<T>;
    each_team<T>(planes, size, [=](auto team) {
        for (Index p : team) {
            const auto in = team.row(x + p * size);
            const auto moments = team.moments([&](Slot j) { return in[j]; }, in);
            if (team.leader()) mean[p] = moments.first, squares[p] = moments.second;
        }
    });
}

// The mean of each channel, its variance (over the number of elements) and 1 / √(variance + eps), from
// those of its planes, which share `count` elements evenly. Where a plane is one element, that is its
// mean, and it has no squares.
#if defined(__CUDACC__)
template <typename T>
BLOCKS(channels + 31 >> 5, 512)
void channel_moments(const T* plane_mean OF(n * channels),
                     const Acc<T>* plane_squares OPTIONAL(n * channels), Acc<T>* mean OF(channels),
                     Acc<T>* variance OF(channels), Acc<T>* rstd OF(channels), Index n, Index channels,
                     Index count, double eps) {
    using A = Acc<T>;
    // Plane i is that share of `count`: it has an element more where the remainder of count · i / n, which
    // is `rest`, and that of count / n make up a whole.
    const Index whole = count / n;
    const uint32_t planes = (uint32_t)n, more = (uint32_t)(count - whole * n);
    const uint32_t step = more * kRowLanes % planes;
    each_column(channels, [=](Index, Index c, const auto& lanes) {
        auto each_plane = [&](const auto& f) {
            uint32_t rest = more * (uint32_t)lanes.first % planes;
            for (Index i = lanes.first; i < n; i += kRowLanes) {
                f(A(whole + (rest + more >= planes)), i * channels + c);
                rest += step;
                rest -= rest >= planes ? planes : 0;
            }
        };
        A total = 0, squares = 0;
        each_plane([&](A size, Index at) { total += size * A(plane_mean[at]); });
        const A mu = lanes.total_for_all(total) / A(count);
        each_plane([&](A size, Index at) {
            const A off = A(plane_mean[at]) - mu;
            squares += size * off * off + (plane_squares ? plane_squares[at] : A(0));
        });
        squares = lanes.total(squares);
        if (!lanes.leader) return;
        mean[c] = mu, variance[c] = squares / A(count);
        rstd[c] = 1 / sqrt(variance[c] + A(eps));
    });
}

// The mean of each part of the rows of x, by column, and its sum of squared deviations from it.
template <typename T>
BLOCKS(parts * (columns + 31 >> 5), 512)
void column_moments(const T* x OF(rows * columns), Acc<T>* mean OF(parts * columns),
                    Acc<T>* squares OF(parts * columns), Index rows, Index columns, Index parts) {
    using A = Acc<T>;
    each_column(columns, [=](Index p, Index c, const auto& lanes) {
        const Share own = share(rows, p, parts);
        const A count = A(own.last - own.first);
        A total = 0, sum = 0;
        auto add = [&](Index r) {
            const A in = A(x[r * columns + c]);
            return [&, in] { total += in; };
        };
        lanes.rows(own, add);
        const A mu = lanes.total_for_all(total) / count;
        auto add_square = [&](Index r) {
            const A off = A(x[r * columns + c]) - mu;  // read a moment ago: from the cache
            return [&, off] { sum += off * off; };
        };
        lanes.rows(own, add_square);
        sum = lanes.total(sum);
        if (lanes.leader) mean[p * columns + c] = mu, squares[p * columns + c] = sum;
    });
}
#else
template <typename T>
HOST
void channel_moments(const T* plane_mean OF(n * channels),
                     const Acc<T>* plane_squares OPTIONAL(n * channels), Acc<T>* mean OF(channels),
                     Acc<T>* variance OF(channels), Acc<T>* rstd OF(channels), Index n, Index channels,
                     Index count, double eps) {
    using A = Acc<T>;
    const A size = A(count / n);
    each(channels, [=](Index c) {
        A total = 0, squares = 0;
        for (Index i = 0; i < n; ++i) total += A(plane_mean[i * channels + c]);
        const A mu = total / A(n);
        for (Index i = 0; i < n; ++i) {
            const A off = A(plane_mean[i * channels + c]) - mu;
            squares += size * off * off + (plane_squares ? plane_squares[i * channels + c] : A(0));
        }
        mean[c] = mu;
        variance[c] = squares / A(count);
        rstd[c] = 1 / sqrt(variance[c] + A(eps));
    });
}
#endif

// Moves running averages by the share `momentum` towards `scale` times new values.
template <REAL T>
EACH(n)
void moving_average(const T* value OF(n), T* average OF(n), Index n, double momentum, double scale) {
    const T kept = T(1 - momentum), factor = T(momentum * scale);
    map(n, [=](T& a, T v) { a = kept * a + factor * v; }, inout(average), value);
}

// Counts a batch.
EACH(n)
void count_batch(Index* batches OF(n), Index n) {
    each(n, [=](Index i) { ++batches[i]; });
}

// y = (x - mean) rstd weight + bias
template <typename T>
ROWS(n * channels, size)
void batch_norm(const T* x OF(n * channels * size), BY_CHANNEL_PARAMETERS(T),
                T* y OF(n * channels * size), Index n, Index channels, Index size) {
    with_or_without(relu, [=](auto relu) {
        each_team<T>(n * channels, size, [=](auto team) {
            for (Index p : team) {
                const Channel<T> of(remainder_of(p, channels), mean, rstd, weight, bias);
                const auto in = team.row(x + p * size);
                team.store(y + p * size, [&](Slot j) { return of.y(in[j], relu); }, in);
            }
        });
    });
}

// By plane: the sum of g, and of g z with z = (x - mean) rstd. Their sums over the planes of a channel
// (column_total) are the gradients of bias and weight.
template <typename T>
ROWS(n * channels, size)
void batch_norm_sums(const T* g OF(n * channels * size), const T* x OF(n * channels * size),
                     BY_CHANNEL_PARAMETERS(T), Acc<T>* sum_g OF(n * channels),
                     Acc<T>* sum_gz OF(n * channels), Index n, Index channels, Index size) {
    with_or_without(relu, [=](auto relu) {
        each_team<T>(n * channels, size, [=](auto team) {
            for (Index p : team) {
                const Channel<T> of(remainder_of(p, channels), mean, rstd, weight, bias);
                const auto gradient = team.row(g + p * size), in = team.row(x + p * size);
                auto passed = [&](Slot j) { return of.passed(gradient[j], in[j], relu); };
                const auto sums = team.sums_of(
                    passed, [&](Slot j) { return passed(j) * of.z(in[j]); }, gradient, in);
                if (team.leader()) sum_g[p] = sums.first, sum_gz[p] = sums.second;
            }
        });
    });
}

// dx = weight rstd (g - dbias / m - z dweight / m), m = n size elements per channel
template <typename T>
ROWS(n * channels, size)
void batch_norm_backward(const T* g OF(n * channels * size), const T* x OF(n * channels * size),
                         BY_CHANNEL_PARAMETERS(T), const Acc<T>* dweight OF(channels),
                         const Acc<T>* dbias OF(channels), T* dx OF(n * channels * size), Index n,
                         Index channels, Index size) {
    using A = Acc<T>;
    with_or_without(relu, [=](auto relu) {
        each_team<T>(n * channels, size, [=](auto team) {
            for (Index p : team) {
                const Index c = remainder_of(p, channels);
                const Channel<T> of(c, mean, rstd, weight, bias);
                const A count = A(n * size), level = dbias[c] / count;
                const A slope = dweight[c] / count * of.rstd;
                const auto gradient = team.row(g + p * size), in = team.row(x + p * size);
                team.store(dx + p * size, [&](Slot j) {
                    const A passed = of.passed(gradient[j], in[j], relu);
                    return of.scale * (passed - level - (in[j] - of.mean) * slope);
                }, gradient, in);
            }
        });
    });
}

// ---- (n, channels) on CUDA: a lane has a channel to itself and goes through a part of the rows -----

#if defined(__CUDACC__)
// y = (x - mean) rstd weight + bias
template <typename T>
BLOCKS(parts * (channels + 31 >> 5), 512)
void batch_norm_rows(const T* x OF(n * channels), BY_CHANNEL_PARAMETERS(T), T* y OF(n * channels),
                     Index n, Index channels, Index parts) {
    using A = Acc<T>;
    each_column(channels, [=](Index p, Index c, const auto& lanes) {
        const Channel<T> of(c, mean, rstd, weight, bias);
        lanes.rows(share(n, p, parts), [=](Index r) {
            const Index at = r * channels + c;
            const A in = A(x[at]), value = of.y(in, relu);
            return [=] { y[at] = T(value); };
        });
    });
}

// By part of the rows: the sum of g, and of g z with z = (x - mean) rstd.
template <typename T>
BLOCKS(parts * (channels + 31 >> 5), 512)
void batch_norm_row_sums(const T* g OF(n * channels), const T* x OF(n * channels),
                         BY_CHANNEL_PARAMETERS(T), Acc<T>* sum_g OF(parts * channels),
                         Acc<T>* sum_gz OF(parts * channels), Index n, Index channels, Index parts) {
    using A = Acc<T>;
    each_column(channels, [=](Index p, Index c, const auto& lanes) {
        const Channel<T> of(c, mean, rstd, weight, bias);
        A plain = 0, weighted = 0;
        lanes.rows(share(n, p, parts), [&](Index r) {
            const A gradient = A(g[r * channels + c]), in = A(x[r * channels + c]);
            return [&, gradient, in] {
                const A passed = of.passed(gradient, in, relu);
                plain += passed;
                weighted += passed * of.z(in);
            };
        });
        plain = lanes.total(plain), weighted = lanes.total(weighted);
        if (lanes.leader) sum_g[p * channels + c] = plain, sum_gz[p * channels + c] = weighted;
    });
}

// dx = weight rstd (g - dbias / n - z dweight / n)
template <typename T>
BLOCKS(parts * (channels + 31 >> 5), 512)
void batch_norm_rows_backward(const T* g OF(n * channels), const T* x OF(n * channels),
                              BY_CHANNEL_PARAMETERS(T), const Acc<T>* dweight OF(channels),
                              const Acc<T>* dbias OF(channels), T* dx OF(n * channels), Index n,
                              Index channels, Index parts) {
    using A = Acc<T>;
    each_column(channels, [=](Index p, Index c, const auto& lanes) {
        const Channel<T> of(c, mean, rstd, weight, bias);
        const A level = dbias[c] / A(n), slope = dweight[c] / A(n) * of.rstd;
        lanes.rows(share(n, p, parts), [=](Index r) {
            const Index at = r * channels + c;
            const A in = A(x[at]), gradient = A(g[at]);
            const A passed = of.passed(gradient, in, relu);
            const A value = of.scale * (passed - level - (in - of.mean) * slope);
            return [=] { dx[at] = T(value); };
        });
    });
}
#endif

}  // namespace tl
