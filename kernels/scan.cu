// Running sums along the middle one of three axes, on the CPU; CuPy has its own.
#include "tensorlite.h"

#if !defined(__CUDACC__)
#include "host/pool.h"

namespace tl {

constexpr Index SCAN_LANES = 256;  // neighbours that are added to at once: their sums stay in L1

// One sum after the other along rows whose elements are neighbours. Each addition waits for the last,
// so that several rows are summed at once.
template <typename T, int ROWS_AT_ONCE>
TL_INLINE void sum_along(const T* x, T* y, Index n, Index first, Index step) {
    double sums[ROWS_AT_ONCE] = {};
    for (Index i = 0, place = first; i < n; ++i, place += step)
        for (int r = 0; r < ROWS_AT_ONCE; ++r) {
            sums[r] += double(x[r * n + place]);
            y[r * n + place] = T(sums[r]);
        }
}

template <typename T>
void sum_along_rows(const T* x, T* y, Index rows, Index n, Index first, Index step) {
    Index r = 0;
    for (; r + 8 <= rows; r += 8) sum_along<T, 8>(x + r * n, y + r * n, n, first, step);
    for (; r < rows; ++r) sum_along<T, 1>(x + r * n, y + r * n, n, first, step);
}

// y[o, i, j] = the sum of x[o, 0 … i, j], or in reverse of x[o, i … n - 1, j], added up in double
template <REAL T>
HOST
void running_sum(const T* x OF(outer * n * inner), T* y OF(outer * n * inner), Index outer, Index n,
                 Index inner, bool reverse) {
    const Index first = reverse ? n - 1 : 0, step = reverse ? -1 : 1;
    if (inner == 1) {
        const Index grain = (1 << 14) / (n + 1) + 8;
        parallel_range(outer, grain, [&](Index begin, Index end) {
            sum_along_rows(x + begin * n, y + begin * n, end - begin, n, first, step);
        });
        return;
    }
    const Index tiles = (inner + SCAN_LANES - 1) / SCAN_LANES;
    const Index grain = (1 << 14) / (n * (inner < SCAN_LANES ? inner : SCAN_LANES) + 1) + 1;
    parallel_range(outer * tiles, grain, [&](Index begin, Index end) {
        for (Index t = begin; t < end; ++t) {
            const Index left = t % tiles * SCAN_LANES;
            const Index lanes = inner - left < SCAN_LANES ? inner - left : SCAN_LANES;
            double sums[SCAN_LANES] = {};
            for (Index i = 0; i < n; ++i) {
                const Index place = (t / tiles * n + first + i * step) * inner + left;
                for (Index j = 0; j < lanes; ++j) {
                    sums[j] += double(x[place + j]);
                    y[place + j] = T(sums[j]);
                }
            }
        }
    });
}

}  // namespace tl
#endif
