// Resampling of the axes of planes: by the nearest element, or by mixtures of a few.
#include "tensorlite.h"

#if defined(__CUDACC__)
#include "device/divisor.h"
#else
#include <cstring>

#include "host/workspace.h"
#endif

namespace tl {

// y[o, j, i] = the sum over k of weight[k, j] · x[o, place[k, j], i]. What has no weight does not
// count, be it infinite.
template <typename T>
EACH(outer * size * inner)
void resample(const T* x OF(outer * length * inner), const int* place OF(taps * size),
              const Acc<T>* weight OF(taps * size), T* y OF(outer * size * inner), Index outer,
              Index length, Index inner, Index size, Index taps) {
    using A = Acc<T>;
#if defined(__CUDACC__)
    each_in_planes(outer, (int)size, (int)inner, [=](Index o, int j, int i) {
        A sum = 0;
        for (Index k = 0; k < taps; ++k) {
            const A w = weight[k * size + j];
            if (w != 0) sum += w * A(x[(o * length + place[k * size + j]) * inner + i]);
        }
        y[(o * size + j) * inner + i] = T(sum);
    });
#else
    if (inner == 1) {
        parallel_range(outer, kGrain / (2 * size * taps + 1) + 1, [=](Index begin, Index end) {
            for (Index o = begin; o < end; ++o) {
                const T* from = x + o * length;
                T* to = y + o * size;
                for (Index k = 0; k < taps; ++k) {
                    const int* at = place + k * size;
                    const A* w = weight + k * size;
                    TL_INDEPENDENT
                    for (Index j = 0; j < size; ++j) {
                        const A share = w[j] * from[at[j]], before = k ? to[j] : A(0);
                        to[j] = before + (w[j] != 0 ? share : A(0));
                    }
                }
            }
        });
        return;
    }
    parallel_range(outer * size, kGrain / (inner * taps + 1) + 1, [=](Index begin, Index end) {
        for (Index row = begin; row < end; ++row) {
            const Index o = row / size, j = row - o * size;
            T* to = y + row * inner;
            bool first = true;
            for (Index k = 0; k < taps; ++k) {
                const A w = weight[k * size + j];
                if (w == 0) continue;
                const T* from = x + (o * length + place[k * size + j]) * inner;
                if (first) {
                    TL_INDEPENDENT
                    for (Index i = 0; i < inner; ++i) to[i] = w * from[i];
                } else {
                    TL_INDEPENDENT
                    for (Index i = 0; i < inner; ++i) to[i] += w * from[i];
                }
                first = false;
            }
            if (first)
                for (Index i = 0; i < inner; ++i) to[i] = 0;
        }
    });
#endif
}

// y[p, i, j] = x[p, row[i], column[j]]. Where columns are repeated `repeat` times each, that is said;
// else it is 0.
template <STORED T>
EACH(planes * out_h * out_w)
void nearest2d(const T* x OF(planes * height * width), const int* row OF(out_h),
               const int* column OF(out_w), T* y OF(planes * out_h * out_w), Index planes,
               Index height, Index width, Index out_h, Index out_w, Index repeat) {
#if defined(__CUDACC__)
    each_in_planes(planes, (int)out_h, (int)out_w, [=](Index plane, int i, int j) {
        y[(plane * out_h + i) * out_w + j] = x[(plane * height + row[i]) * width + column[j]];
    });
#else
    parallel_range(planes * out_h, kGrain / (out_w + 1) + 1, [=](Index begin, Index end) {
        for (Index line = begin; line < end; ++line) {
            const Index plane = line / out_h, i = line - plane * out_h;
            T* to = y + line * out_w;
            if (i && line > begin && row[i] == row[i - 1]) {
                std::memcpy(to, to - out_w, out_w * sizeof(T));
                continue;
            }
            const T* from = x + (plane * height + row[i]) * width;
            if (repeat == 2) {
                TL_INDEPENDENT
                for (Index j = 0; j < width; ++j) {
                    const T value = from[j];
                    to[2 * j] = value;
                    to[2 * j + 1] = value;
                }
            } else {
                TL_INDEPENDENT
                for (Index j = 0; j < out_w; ++j) to[j] = from[column[j]];
            }
        }
    });
#endif
}

// dx[p, h, w] = the sum of g[p, i, j] over the rows i in [row[h], row[h + 1]) and the columns j in
// [column[w], column[w + 1]); `nearest` says the same of columns the other way round, as nearest2d.
template <typename T>
EACH(planes * height * width)
void nearest2d_backward(const T* g OF(planes * out_h * out_w), const int* row OF(height + 1),
                        const int* column OF(width + 1), const int* nearest OF(out_w),
                        T* dx OF(planes * height * width), Index planes, Index height, Index width,
                        Index out_h, Index out_w, Index repeat) {
    using A = Acc<T>;
#if defined(__CUDACC__)
    each_in_planes(planes, (int)height, (int)width, [=](Index plane, int h, int w) {
        A sum = 0;
        for (int i = row[h]; i < row[h + 1]; ++i)
            for (int j = column[w]; j < column[w + 1]; ++j)
                sum += A(g[(plane * out_h + i) * out_w + j]);
        dx[(plane * height + h) * width + w] = T(sum);
    });
#else
    parallel_range(planes * height, kGrain / (2 * out_w + 1) + 1, [=](Index begin, Index end) {
        Workspace<A> sums(out_w);
        for (Index line = begin; line < end; ++line) {
            const Index plane = line / height, h = line - plane * height;
            T* to = dx + line * width;
            const T* from = g + (plane * out_h + row[h]) * out_w;
            const int rows = row[h + 1] - row[h];
            if (!rows) {
                std::memset(to, 0, width * sizeof(T));
                continue;
            }
            A* sum = &sums[0];
            for (Index j = 0; j < out_w; ++j) sum[j] = from[j];
            for (int i = 1; i < rows; ++i)
                for (Index j = 0; j < out_w; ++j) sum[j] += from[i * out_w + j];
            if (repeat == 2) {
                for (Index w = 0; w < width; ++w) to[w] = sum[2 * w] + sum[2 * w + 1];
            } else if (out_w < width) {
                std::memset(to, 0, width * sizeof(T));
                for (Index j = 0; j < out_w; ++j) to[nearest[j]] += sum[j];
            } else {
                for (Index w = 0; w < width; ++w) {
                    A total = 0;
                    for (int j = column[w]; j < column[w + 1]; ++j) total += sum[j];
                    to[w] = total;
                }
            }
        }
    });
#endif
}

}  // namespace tl
