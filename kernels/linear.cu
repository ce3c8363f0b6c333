// What a fully connected layer takes beside its product: adding the bias, and sums over
// columns, which are the gradient of a bias. The backward passes leave one row of partial sums a team;
// column_total adds them, in the same order every time.
#include "tensorlite.h"
#if defined(__CUDACC__)
#include "device/column_sums.h"
#endif

namespace tl {

template <typename T>
ROWS(rows, columns)
void bias_add(const T* x OF(rows * columns), const T* bias OF(columns), T* y LIKE(x),
              Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        const auto b = team.common_row(bias);
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            team.store(y + r * columns, [&](Slot j) { return in[j] + b[j]; }, in);
        }
    });
}

// partial[p] = the sum of x over the rows of part p
template <typename T>
ROWS(parts, columns)
void column_sum(const T* x OF(rows * columns), Acc<T>* partial SUMS(parts, columns), Index rows,
                Index columns, Index parts) {
    each_team<T>(parts, columns, rows, [=](auto team) {
        for (Index p : team) {
            auto sums = team.sums(partial + p * columns);
            const Share mine = share(rows, p, parts);
            for (Index r = mine.first; r < mine.last; ++r) {
                auto in = team.row(x + r * columns);
                team.each([&](Slot j) { sums[j] += in[j]; }, in);
            }
            team.finish(sums);
        }
    });
}

// y[s] = the sum of the rows of partial[s]
#if defined(__CUDACC__)
template <typename T>
BLOCKS(sets * (columns + 31 >> 5), 512)
void column_total(const Acc<T>* partial OF(sets * parts * columns), T* y OF(sets * columns),
                  Index sets, Index parts, Index columns) {
    using A = Acc<T>;
    each_column(columns, [=](Index s, Index c, const auto& lanes) {
        const A* column = partial + s * parts * columns + c;
        A total = 0;
        lanes.rows({0, parts}, [&](Index p) {
            const A value = column[p * columns];
            return [&, value] { total += value; };
        });
        total = lanes.total(total);
        if (lanes.leader) y[s * columns + c] = T(total);
    });
}
// The same where the rows of y are `stride` elements apart.
BLOCKS(sets * (columns + 31 >> 5), 512)
void column_total_at(const float* partial OF(sets * parts * columns), float* y OF((sets - 1) * stride + columns),
                     Index sets, Index parts, Index columns, Index stride) {
    each_column(columns, [=](Index s, Index c, const auto& lanes) {
        const float* column = partial + s * parts * columns + c;
        float total = 0;
        lanes.rows({0, parts}, [&](Index p) {
            const float value = column[p * columns];
            return [&, value] { total += value; };
        });
        total = lanes.total(total);
        if (lanes.leader) y[s * stride + c] = total;
    });
}
#else
// Row by row: column by column, rows of 4 KB and the like would push each other out of the cache.
template <typename T>
HOST
void column_total(const Acc<T>* partial OF(sets * parts * columns), T* y OF(sets * columns),
                  Index sets, Index parts, Index columns) {
    using A = Acc<T>;
    Workspace<A> totals(columns);
    for (Index s = 0; s < sets; ++s) {
        for (Index j = 0; j < columns; ++j) totals[j] = 0;
        for (Index p = 0; p < parts; ++p, partial += columns)
            for (Index j = 0; j < columns; ++j) totals[j] += partial[j];
        for (Index j = 0; j < columns; ++j) y[s * columns + j] = T(totals[j]);
    }
}
#endif

#if defined(__CUDACC__)
// y = the sum of each row of 16-bit floats, not rounded to them
template <SHORT T>
ROWS(rows, columns)
void row_sum_wide(const T* x OF(rows * columns), float* y OF(rows), Index rows, Index columns) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            const auto total = team.sum([&](Slot j) { return in[j]; }, in);
            if (team.leader()) y[r] = total;
        }
    });
}
#endif

// y = the sum of each row times `factor`
template <typename T>
ROWS(rows, columns)
void row_sum(const T* x OF(rows * columns), T* y OF(rows), Index rows, Index columns, double factor) {
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            auto in = team.row(x + r * columns);
            const auto total = team.sum([&](Slot j) { return in[j]; }, in);
            if (team.leader()) y[r] = T(total * Acc<T>(factor));
        }
    });
}

}  // namespace tl
