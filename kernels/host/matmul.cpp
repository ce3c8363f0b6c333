// The matrix product, and batches of it: how their axes are walked, and divided among the threads.
#include <algorithm>

#include "host/gemm.h"

namespace tl {

TL_FOR_PRODUCTS(, float)
TL_FOR_PRODUCTS(, double)

template <typename T>
static void offset(Product<T>& product, const BatchAxis* axes, int axis_count, Index batch) {
    for (int i = 0; i < axis_count; ++i, batch /= axes[i - 1].count) {
        const Index at = batch % axes[i].count;
        product.a.data += at * axes[i].a;
        product.b.data += at * axes[i].b;
        product.c += at * axes[i].c;
    }
}

// Axes are given from the innermost on.
template <typename T>
void multiply_batches(Product<T> product, const BatchAxis* axes, int axis_count) {
    // An axis along which b stays and the rows of a and c go on is more rows: (…, t, k) @ (k, n).
    for (; axis_count > 0; ++axes, --axis_count) {
        const bool more_rows = axes->b == 0 && axes->a == product.rows * product.a.row_stride &&
                               axes->c == product.rows * product.c_stride;
        if (axes->count != 1 && !more_rows) break;
        product.rows *= axes->count;
    }
    Index batches = 1;
    for (int i = 0; i < axis_count; ++i) batches *= axes[i].count;
    const Index work = product.rows * product.cols * product.depth;
    auto multiply = [=](Index first, Index last) {
        for (Index batch = first; batch < last; ++batch) {
            Product<T> one = product;
            offset(one, axes, axis_count, batch);
            gemm(one);
        }
    };
    // Few large products are each divided among the threads, many small ones are dealt out.
    if (batches < 2 * num_threads() && work > kSerialWork)
        multiply(0, batches);
    else
        parallel_range(batches, 1 + kSerialWork / (4 * (work + 1)), multiply);
}

template void multiply_batches(Product<float>, const BatchAxis*, int);
template void multiply_batches(Product<double>, const BatchAxis*, int);

template <typename T>
void sum_rows(const T* __restrict__ x, T* __restrict__ sums, Index rows, Index columns) {
    std::fill_n(sums, columns, T(0));
    for (Index r = 0; r < rows; ++r)
        for (Index j = 0; j < columns; ++j) sums[j] += x[r * columns + j];
}

template void sum_rows(const float*, float*, Index, Index);
template void sum_rows(const double*, double*, Index, Index);

}  // namespace tl
