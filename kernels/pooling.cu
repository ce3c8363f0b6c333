// Max, average and adaptive average pooling over volumes (N·C, D, H, W), and their gradients. Images are
// one layer deep, signals one row high.
#include "windows.h"

#if !defined(__CUDACC__)
#include "host/largest.h"
#endif

namespace tl {

// body(volume, layer, row) for every row of all volumes, which gives what is done for each column: one
// element per lane on CUDA; on the CPU a thread takes whole rows, and what these have in common is
// computed once.
template <typename F>
TL_INLINE void each_element(Index volumes, Place layers, Place rows, Place columns, const F& body) {
#if defined(__CUDACC__)
    const Divisor of_rows(rows);
    each_in_planes(volumes, layers * rows, columns, [=](Index volume, Place row, Place column) {
        const Place layer = of_rows.quotient(row);
        body(volume, layer, row - layer * rows)(column);
    });
#else
    parallel_range(volumes * layers * rows, kGrain / 8 / (columns + 1) + 1, [=](Index first, Index last) {
        for (Index at = first; at < last; ++at) {
            const Index layer = at / rows, volume = layer / layers;
            const auto each = body(volume, layer - volume * layers, at - layer * rows);
            for (Index column = 0; column < columns; ++column) each(column);
        }
    });
#endif
}

// f(position) for the positions of a window. `size` is the common window of a layer that is unrolled
// where it lies wholly inside; 0 for any other.
template <int size, typename Axis, typename F>
TL_INLINE void each_position(const Axes<Axis>& of, Span layers, Span rows, Span columns, const F& f) {
#pragma unroll 1
    for (Place z = layers.first; z < layers.last; z += layers.step) {
        const Place layer = z * of.down.in;
        if (size > 0 && rows.length() == size && columns.length() == size) {
#pragma unroll
            for (int v = 0; v < size; ++v)
#pragma unroll
                for (int h = 0; h < size; ++h)
                    f((layer + rows.first + v) * of.across.in + columns.first + h);
        } else {
            for (Place v = rows.first; v < rows.last; v += rows.step)
#pragma unroll 1  // registers would spill
                for (Place h = columns.first; h < columns.last; h += columns.step)
                    f((layer + v) * of.across.in + h);
        }
    }
}

#if defined(__CUDACC__)

// f(layer, row, column, window) for the windows that may hold a position: their places among the outputs,
// by axis and in the volume.
template <typename Axis, typename F>
TL_INLINE void each_window(const Axes<Axis>& of, Place layer, Place row, Place column, const F& f) {
    const Span layers = of.deep.holding(layer), rows = of.down.holding(row);
    const Span columns = of.across.holding(column);
#pragma unroll 1  // registers would spill
    for (Place z = layers.first; z < layers.last; ++z)
#pragma unroll 1
        for (Place r = rows.first; r < rows.last; ++r)
#pragma unroll 1
            for (Place i = columns.first; i < columns.last; ++i)
                f(z, r, i, (z * of.down.out + r) * of.across.out + i);
}

template <int size, typename T>
TL_INLINE void largest(const T* x, T* y, int* index, Index volumes, Axes<PoolAxis> of) {
    const Place layers = of.deep.out, height = of.down.out, width = of.across.out;
    each_element(volumes, layers, height, width, [=](Index p, Place z, Place r) {
        const T* volume = x + p * of.in();
        const Index row = p * of.out() + (z * height + r) * width;
        const Span deep = of.deep.inside(z), down = of.down.inside(r);
        return [=](Place i) {
            const Span across = of.across.inside(i);
            Place where = (deep.first * of.down.in + down.first) * of.across.in + across.first;
            Acc<T> peak = volume[where];
            auto compare = [&](Place at) {
                const Acc<T> value = volume[at];
                const bool larger = (value > peak) | (value != value);  // no branch to mispredict
                peak = larger ? value : peak;
                where = larger ? at : where;
            };
            each_position<size>(of, deep, down, across, compare);
            y[row + i] = T(peak);
            if (index) index[row + i] = int(where);
        };
    });
}

#endif

#define VOLUMES_PARAMETERS PARAMETERS(Index volumes, Index depth, Index height, Index width)
#define WINDOW_PARAMETERS                                                                       \
    PARAMETERS(Index kernel_d, Index kernel_h, Index kernel_w, Index stride_d, Index stride_h,   \
               Index stride_w, Index pad_d, Index pad_h, Index pad_w)
#define DILATION_PARAMETERS PARAMETERS(Index dilation_d, Index dilation_h, Index dilation_w)
#define OUT_PARAMETERS PARAMETERS(Index out_d, Index out_h, Index out_w)

// y = the largest of each window, NaN if it holds one; index = where in the volume it first is.
template <typename T>
EACH(volumes * out_d * out_h * out_w)
void max_pool(const T* x OF(volumes * depth * height * width),
              T* y OF(volumes * out_d * out_h * out_w),
              int* index OPTIONAL(volumes * out_d * out_h * out_w), VOLUMES_PARAMETERS,
              WINDOW_PARAMETERS, DILATION_PARAMETERS, OUT_PARAMETERS) {
    const Axes<PoolAxis> of{{depth, out_d, kernel_d, stride_d, pad_d, dilation_d},
                            {height, out_h, kernel_h, stride_h, pad_h, dilation_h},
                            {width, out_w, kernel_w, stride_w, pad_w, dilation_w}};
    const bool dense = dilation_h == 1 && dilation_w == 1 && kernel_h == kernel_w;
#if defined(__CUDACC__)
    if (dense && kernel_h == 2)
        largest<2>(x, y, index, volumes, of);
    else if (dense && kernel_h == 3)
        largest<3>(x, y, index, volumes, of);
    else
        largest<0>(x, y, index, volumes, of);
#else
    if constexpr (std::is_same_v<T, float>) {
        const bool fits = dense && stride_w == 2;
        if (fits && kernel_h == 2) return largest_by_rows<2>(x, y, index, volumes, of);
        if (fits && kernel_h == 3) return largest_by_rows<3>(x, y, index, volumes, of);
    }
    largest_by_rows<0>(x, y, index, volumes, of);
#endif
}

// dx = the sum, over the windows a position is in, of the gradient of those it is the largest of.
template <typename T>
EACH(volumes * depth * height * width)
void max_pool_backward(const T* g OF(volumes * out_d * out_h * out_w),
                       const int* index OF(volumes * out_d * out_h * out_w),
                       T* dx OF(volumes * depth * height * width), VOLUMES_PARAMETERS,
                       WINDOW_PARAMETERS, DILATION_PARAMETERS, OUT_PARAMETERS) {
    const Axes<PoolAxis> of{{depth, out_d, kernel_d, stride_d, pad_d, dilation_d},
                            {height, out_h, kernel_h, stride_h, pad_h, dilation_h},
                            {width, out_w, kernel_w, stride_w, pad_w, dilation_w}};
#if defined(__CUDACC__)  // every position collects: no two lanes write to one place
    each_element(volumes, of.deep.in, of.down.in, of.across.in,
                 [=](Index volume, Place layer, Place row) {
        return [=](Place column) {
            const Place at = (layer * of.down.in + row) * of.across.in + column;
            const T* gradients = g + volume * of.out();
            const int* places = index + volume * of.out();
            Acc<T> sum = 0;
            each_window(of, layer, row, column, [&](Place, Place, Place, Place window) {
                if (places[window] == at) sum += Acc<T>(gradients[window]);
            });
            dx[volume * of.in() + at] = T(sum);
        };
    });
#else  // every window hands out: one thread per volume
    const Index in = of.in(), out = of.out();
    parallel_range(volumes, kGrain / (in + 1) + 1, [=](Index first, Index last) {
        Workspace<Acc<T>> sum(in);
        for (Index volume = first; volume < last; ++volume) {
            for (Index p = 0; p < in; ++p) sum[p] = 0;
            for (Index i = volume * out; i < (volume + 1) * out; ++i) sum[index[i]] += Acc<T>(g[i]);
            for (Index p = 0; p < in; ++p) dx[volume * in + p] = T(sum[p]);
        }
    });
#endif
}

// What an average divides by: positions along one axis, with the padding or without.
template <typename Axis>
TL_INLINE Place extent(const Axis& axis, Place i, bool count_pad) {
    return count_pad ? axis.last(i) - axis.first(i) : axis.inside(i).length();
}

// y = the sum of each window over its size, which counts the padding or not.
template <int size, typename T, typename Axis>
TL_INLINE void average(const T* x, T* y, Index volumes, Axes<Axis> of, bool count_pad) {
    const Place layers = of.deep.out, height = of.down.out, width = of.across.out;
    each_element(volumes, layers, height, width, [=](Index p, Place z, Place r) {
        const T* volume = x + p * of.in();
        T* row = y + p * of.out() + (z * height + r) * width;
        const Span deep = of.deep.inside(z), down = of.down.inside(r);
        const Acc<T> rows = Acc<T>(extent(of.deep, z, count_pad) * extent(of.down, r, count_pad));
        return [=](Place i) {
            Acc<T> sum = 0;
            each_position<size>(of, deep, down, of.across.inside(i),
                                [&](Place at) { sum += Acc<T>(volume[at]); });
            row[i] = T(divided(sum, rows * Acc<T>(extent(of.across, i, count_pad))));
        };
    });
}

// dx = the sum, over the windows a position is in, of the window's gradient over its size.
template <int size, typename T, typename Axis>
TL_INLINE void average_backward(const T* g, T* dx, Index volumes, Axes<Axis> of, bool count_pad) {
    auto count_of_row = [=](Place z, Place r) {
        return extent(of.deep, z, count_pad) * extent(of.down, r, count_pad);
    };
#if defined(__CUDACC__)
    each_element(volumes, of.deep.in, of.down.in, of.across.in,
                 [=](Index volume, Place layer, Place row) {
        return [=](Place column) {
            const T* gradients = g + volume * of.out();
            T* to = dx + volume * of.in() + (layer * of.down.in + row) * of.across.in + column;
            Acc<T> sum = 0;
            each_window(of, layer, row, column, [&](Place z, Place r, Place i, Place window) {
                const Place count = count_of_row(z, r) * extent(of.across, i, count_pad);
                sum += divided(Acc<T>(gradients[window]), Acc<T>(count));
            });
            *to = T(sum);
        };
    });
#else
    const Index in = of.in(), height = of.down.out, width = of.across.out;
    parallel_range(volumes, kGrain / (in + 1) + 1, [=](Index first, Index last) {
        Workspace<Acc<T>> sum(in);
        for (Index volume = first; volume < last; ++volume) {
            for (Index p = 0; p < in; ++p) sum[p] = 0;
            const T* from = g + volume * of.out();
            for (Index row = 0; row < of.deep.out * height; ++row) {
                const Index z = row / height, r = row - z * height, rows = count_of_row(z, r);
                const Span deep = of.deep.inside(z), down = of.down.inside(r);
                for (Index i = 0; i < width; ++i) {
                    const Acc<T> share = Acc<T>(from[row * width + i]) /
                                         Acc<T>(rows * extent(of.across, i, count_pad));
                    each_position<size>(of, deep, down, of.across.inside(i),
                                        [&](Index at) { sum[at] += share; });
                }
            }
            for (Index p = 0; p < in; ++p) dx[volume * in + p] = T(sum[p]);
        }
    });
#endif
}

template <typename T>
EACH(volumes * out_d * out_h * out_w)
void avg_pool(const T* x OF(volumes * depth * height * width),
              T* y OF(volumes * out_d * out_h * out_w), VOLUMES_PARAMETERS, WINDOW_PARAMETERS,
              bool count_pad, OUT_PARAMETERS) {
    const Axes<PoolAxis> of{{depth, out_d, kernel_d, stride_d, pad_d, 1},
                            {height, out_h, kernel_h, stride_h, pad_h, 1},
                            {width, out_w, kernel_w, stride_w, pad_w, 1}};
    if (kernel_h == 2 && kernel_w == 2)
        average<2>(x, y, volumes, of, count_pad);
    else
        average<0>(x, y, volumes, of, count_pad);
}

template <typename T>
EACH(volumes * depth * height * width)
void avg_pool_backward(const T* g OF(volumes * out_d * out_h * out_w),
                       T* dx OF(volumes * depth * height * width), VOLUMES_PARAMETERS,
                       WINDOW_PARAMETERS, bool count_pad, OUT_PARAMETERS) {
    const Axes<PoolAxis> of{{depth, out_d, kernel_d, stride_d, pad_d, 1},
                            {height, out_h, kernel_h, stride_h, pad_h, 1},
                            {width, out_w, kernel_w, stride_w, pad_w, 1}};
    if (kernel_h == 2 && kernel_w == 2)
        average_backward<2>(g, dx, volumes, of, count_pad);
    else
        average_backward<0>(g, dx, volumes, of, count_pad);
}

template <typename T>
EACH(volumes * out_d * out_h * out_w)
void adaptive_avg_pool(const T* x OF(volumes * depth * height * width),
                       T* y OF(volumes * out_d * out_h * out_w), VOLUMES_PARAMETERS,
                       OUT_PARAMETERS) {
    average<0>(x, y, volumes, Axes<AdaptiveAxis>{{depth, out_d}, {height, out_h}, {width, out_w}},
               false);
}

template <typename T>
EACH(volumes * depth * height * width)
void adaptive_avg_pool_backward(const T* g OF(volumes * out_d * out_h * out_w),
                                T* dx OF(volumes * depth * height * width), VOLUMES_PARAMETERS,
                                OUT_PARAMETERS) {
    const Axes<AdaptiveAxis> of{{depth, out_d}, {height, out_h}, {width, out_w}};
    average_backward<0>(g, dx, volumes, of, false);
}

}  // namespace tl
