// Max, average and adaptive average pooling over planes (N·C, H, W), and their gradients.
#include "tensorlite.h"

#if defined(__CUDACC__)
#include "device/divisor.h"
#else
#include <algorithm>

#include "host/workspace.h"
#endif

namespace tl {

// Places within a plane. On CUDA they have 32 bits, and what divides them is known beforehand.
#if defined(__CUDACC__)
using Place = int;
using Product = uint32_t;
#else
using Place = Index;
using Product = Index;
struct Divisor {
    Index by;
    Index quotient(Index n) const { return n / by; }
};
template <typename A>
TL_INLINE A divided(A sum, A count) {
    return sum / count;
}
#endif

// One axis of a pooling: output i looks at places first(i), first(i) + dilation, … below last(i).
struct PoolAxis {
    Place in, out, kernel, stride, pad, dilation;
    Divisor of_stride, of_dilation;

    TL_INLINE PoolAxis(Index in, Index out, Index kernel, Index stride, Index pad, Index dilation)
        : in(in), out(out), kernel(kernel), stride(stride), pad(pad), dilation(dilation),
          of_stride{stride}, of_dilation{dilation} {}

    TL_INLINE Place first(Place i) const { return i * stride - pad; }
    // The window with its padding, but not with what a rounded-up output size adds beyond.
    TL_INLINE Place last(Place i) const {
        const Place end = first(i) + (kernel - 1) * dilation + 1;
        return end < in + pad ? end : in + pad;
    }
    TL_INLINE Place first_inside(Place i) const {
        const Place start = first(i);
        return start < 0 ? start + of_dilation.quotient(-start + dilation - 1) * dilation : start;
    }
    TL_INLINE Place last_inside(Place i) const { return last(i) < in ? last(i) : in; }
    // The outputs whose tap lies inside: [first_holding(tap), last_holding(tap)).
    TL_INLINE Place first_holding(Place tap) const {
        const Place outside = pad - tap * dilation;
        return outside <= 0 ? 0 : of_stride.quotient(outside + stride - 1);
    }
    TL_INLINE Place last_holding(Place tap) const {
        const Place room = in + pad - tap * dilation;
        const Place end = room <= 0 ? 0 : of_stride.quotient(room - 1) + 1;
        return end < out ? end : out;
    }
    // The outputs whose windows may hold place p lie in [low(p), high(p)).
    TL_INLINE Place low(Place p) const {
        const Place past = p + pad - (kernel - 1) * dilation;
        return past <= 0 ? 0 : of_stride.quotient(past + stride - 1);
    }
    TL_INLINE Place high(Place p) const {
        const Place end = of_stride.quotient(p + pad) + 1;
        return end < out ? end : out;
    }
};

// Windows that divide the axis as evenly as integers can, overlapping by one where they must. On CUDA
// lengths are below 2^16.
struct AdaptiveAxis {
    Place in, out;
    Divisor of_in, of_out;

    TL_INLINE AdaptiveAxis(Index in, Index out) : in(in), out(out), of_in{in}, of_out{out} {}

    TL_INLINE Place first(Place i) const { return of_out.quotient(Product(i) * in); }
    TL_INLINE Place last(Place i) const { return of_out.quotient(Product(i + 1) * in + out - 1); }
    TL_INLINE Place first_inside(Place i) const { return first(i); }
    TL_INLINE Place last_inside(Place i) const { return last(i); }
    TL_INLINE Place low(Place p) const { return of_in.quotient(Product(p) * out); }
    TL_INLINE Place high(Place p) const { return of_in.quotient(Product(p + 1) * out + in - 1); }
};

// body(plane, row, column) for every element of all planes: one per lane on CUDA; on the CPU a thread
// takes whole rows, so that what depends on the row alone is computed once.
template <typename F>
TL_INLINE void each_element(Index planes, Place rows, Place columns, const F& body) {
#if defined(__CUDACC__)
    each_in_planes(planes, rows, columns, body);
#else
    parallel_range(planes * rows, kGrain / 8 / (columns + 1) + 1, [=](Index first, Index last) {
        for (Index row = first; row < last; ++row)
            for (Index column = 0; column < columns; ++column)
                body(row / rows, row % rows, column);
    });
#endif
}

// f(position) for the positions of a window in a plane of `width` columns. `size` is the common
// window that is unrolled where it lies wholly inside; 0 for any other.
template <int size, typename F>
TL_INLINE void each_position(Place top, Place bottom, Place left, Place right, Place step_h,
                             Place step_w, Place width, const F& f) {
    if (size > 0 && bottom - top == size && right - left == size) {
#pragma unroll
        for (int v = 0; v < size; ++v)
#pragma unroll
            for (int h = 0; h < size; ++h) f((top + v) * width + left + h);
    } else {
        for (Place v = top; v < bottom; v += step_h)
#pragma unroll 1  // registers would spill
            for (Place h = left; h < right; h += step_w) f(v * width + h);
    }
}

#if defined(__CUDACC__)

template <int size, typename T>
TL_INLINE void largest(const T* x, T* y, int* index, Index planes, PoolAxis down, PoolAxis across) {
    each_element(planes, down.out, across.out, [=](Index p, Place r, Place i) {
        const T* plane = x + p * down.in * across.in;
        const Place top = down.first_inside(r), bottom = down.last_inside(r);
        const Place left = across.first_inside(i), right = across.last_inside(i);
        Place where = top * across.in + left;
        Acc<T> peak = plane[where];
        auto compare = [&](Place at) {
            const Acc<T> value = plane[at];
            const bool larger = (value > peak) | (value != value);  // no branch to mispredict
            peak = larger ? value : peak;
            where = larger ? at : where;
        };
        each_position<size>(top, bottom, left, right, down.dilation, across.dilation, across.in,
                            compare);
        const Index target = (p * down.out + r) * across.out + i;
        y[target] = T(peak);
        if (index) index[target] = int(where);
    });
}

#else

// Outputs begin … end - 1 of a row: each tap of their windows is compared for all of them at once.
template <typename T>
void largest_of_row(const T* plane, T* y, int* where, Place r, Place begin, Place end,
                    const PoolAxis& down, const PoolAxis& across) {
    if (begin == end) return;
    const Place top = down.first_inside(r), bottom = down.last_inside(r);
    for (Place i = begin; i < end; ++i) where[i] = int(top * across.in + across.first_inside(i));
    for (Place v = top; v < bottom; v += down.dilation)
        for (Place tap = 0; tap < across.kernel; ++tap) {
            const Place left = v * across.in + tap * across.dilation - across.pad;
            const Place last = std::min(end, across.last_holding(tap));
            for (Place i = std::max(begin, across.first_holding(tap)); i < last; ++i) {
                const int at = int(left + i * across.stride);
                const Acc<T> value = plane[at], peak = plane[where[i]];
                // Of integers, so that there is no branch to mispredict.
                where[i] = ((value > peak) | (value != value)) ? at : where[i];
            }
        }
    for (Place i = begin; i < end; ++i) y[i] = plane[where[i]];
}

template <int... lane>
struct Lanes {
    static constexpr int count = sizeof...(lane);
    typedef float Floats __attribute__((vector_size(4 * sizeof...(lane)), aligned(4), may_alias));
    typedef int Ints __attribute__((vector_size(4 * sizeof...(lane)), aligned(4), may_alias));

    // from[0], from[2], … or, if `odd`, from[1], from[3], …
    template <int odd>
    static TL_INLINE Floats every_second(const float* from) {
        return __builtin_shufflevector(*(const Floats*)from, *(const Floats*)(from + count),
                                       (2 * lane + odd)...);
    }

    // As many neighbouring windows of size × size, two columns apart, which lie inside; x is at the
    // first. The compiler would leave every second vector of such a loop to single elements.
    template <int size>
    static TL_INLINE void largest(const float* x, int at, Place width, float* y, int* where) {
        Floats peak = every_second<0>(x);
        const Ints columns = Ints{(2 * lane)...} + at;
        Ints found = columns;
        TL_UNROLL
        for (int v = 0; v < size; ++v)
            TL_UNROLL
            for (int h = 0; h < size; ++h) {
                const float* row = x + v * width;
                const Floats value = h ? every_second<1>(row + h - 1) : every_second<0>(row);
                const Ints larger = (value > peak) | (value != value);
                peak = larger ? value : peak;
                found = larger ? columns + int(v * width + h) : found;
            }
        *(Floats*)y = peak;
        *(Ints*)where = found;
    }
};
using EightLanes = Lanes<0, 1, 2, 3, 4, 5, 6, 7>;
using FourLanes = Lanes<0, 1, 2, 3>;

// `count` such windows, at least as many as there are lanes: the last vector may overlap another.
template <int size, typename L>
TL_INLINE void largest_inside(const float* x, int at, Place width, float* y, int* where, Place count) {
    for (Place i = 0; i < count; i += L::count) {
        const Place from = std::min(i, count - L::count);
        L::template largest<size>(x + 2 * from, int(at + 2 * from), width, y + from, where + from);
    }
}

// `size` is that of windows two columns apart, or 0 for any others.
template <int size, typename T>
void largest_by_rows(const T* x, T* y, int* index, Index planes, const PoolAxis& down,
                     const PoolAxis& across) {
    const Index columns = across.out, grain = kGrain / 8 / (columns + 1) + 1;
    const Place begin = size ? across.first_holding(0) : 0;
    const Place inside = size ? across.last_holding(size - 1) - begin : 0;
    parallel_range(planes * down.out, grain, [=](Index first, Index last) {
        Workspace<int> unwanted(columns);
        const T* plane = x + first / down.out * down.in * across.in;
        Place r = first % down.out;
        for (Index row = first; row < last; ++row, ++r) {
            if (r == down.out) r = 0, plane += down.in * across.in;
            int* where = index ? index + row * columns : (int*)unwanted;
            T* to = y + row * columns;
            Place done = 0;
            if constexpr (size > 0) {
                const Place top = down.first_inside(r), at = top * across.in + 2 * begin - across.pad;
                if (inside >= FourLanes::count && down.last_inside(r) - top == size) {
                    auto fill = inside >= EightLanes::count ? largest_inside<size, EightLanes>
                                                            : largest_inside<size, FourLanes>;
                    fill(plane + at, int(at), across.in, to + begin, where + begin, inside);
                    largest_of_row(plane, to, where, r, 0, begin, down, across);
                    done = begin + inside;
                }
            }
            largest_of_row(plane, to, where, r, done, columns, down, across);
        }
    });
}

#endif

// y = the largest of each window, NaN if it holds one; index = where in the plane it first is.
template <typename T>
EACH(planes * out_h * out_w)
void max_pool2d(const T* x OF(planes * height * width), T* y OF(planes * out_h * out_w),
                int* index OPTIONAL(planes * out_h * out_w), Index planes, Index height,
                Index width, Index kernel_h, Index kernel_w, Index stride_h, Index stride_w,
                Index pad_h, Index pad_w, Index dilation_h, Index dilation_w, Index out_h,
                Index out_w) {
    const PoolAxis down{height, out_h, kernel_h, stride_h, pad_h, dilation_h};
    const PoolAxis across{width, out_w, kernel_w, stride_w, pad_w, dilation_w};
#if defined(__CUDACC__)
    const bool dense = dilation_h == 1 && dilation_w == 1 && kernel_h == kernel_w;
    if (dense && kernel_h == 2)
        largest<2>(x, y, index, planes, down, across);
    else if (dense && kernel_h == 3)
        largest<3>(x, y, index, planes, down, across);
    else
        largest<0>(x, y, index, planes, down, across);
#else
    if constexpr (std::is_same_v<T, float>) {
        const bool dense = dilation_h == 1 && dilation_w == 1 && kernel_h == kernel_w && stride_w == 2;
        if (dense && kernel_h == 2) return largest_by_rows<2>(x, y, index, planes, down, across);
        if (dense && kernel_h == 3) return largest_by_rows<3>(x, y, index, planes, down, across);
    }
    largest_by_rows<0>(x, y, index, planes, down, across);
#endif
}

// dx = the sum, over the windows a position is in, of the gradient of those it is the largest of.
template <typename T>
EACH(planes * height * width)
void max_pool2d_backward(const T* g OF(planes * out_h * out_w),
                         const int* index OF(planes * out_h * out_w),
                         T* dx OF(planes * height * width), Index planes, Index height, Index width,
                         Index kernel_h, Index kernel_w, Index stride_h, Index stride_w,
                         Index pad_h, Index pad_w, Index dilation_h, Index dilation_w, Index out_h,
                         Index out_w) {
#if defined(__CUDACC__)  // every position collects: no two lanes write to one place
    const PoolAxis down{height, out_h, kernel_h, stride_h, pad_h, dilation_h};
    const PoolAxis across{width, out_w, kernel_w, stride_w, pad_w, dilation_w};
    each_element(planes, down.in, across.in, [=](Index plane, Place row, Place p) {
        const Place at = row * across.in + p;
        const Index windows = plane * down.out * across.out;
        Acc<T> sum = 0;
        for (Place v = down.low(row); v < down.high(row); ++v)
            for (Place h = across.low(p); h < across.high(p); ++h) {
                const Index window = windows + v * across.out + h;
                if (index[window] == at) sum += Acc<T>(g[window]);
            }
        dx[plane * down.in * across.in + at] = T(sum);
    });
#else  // every window hands out: one thread per plane
    (void)kernel_h, (void)kernel_w, (void)stride_h, (void)stride_w, (void)pad_h, (void)pad_w;
    (void)dilation_h, (void)dilation_w;
    parallel_range(planes, kGrain / (height * width + 1) + 1, [=](Index first, Index last) {
        Workspace<Acc<T>> sum(height * width);
        for (Index plane = first; plane < last; ++plane) {
            for (Index p = 0; p < height * width; ++p) sum[p] = 0;
            for (Index i = plane * out_h * out_w; i < (plane + 1) * out_h * out_w; ++i)
                sum[index[i]] += Acc<T>(g[i]);
            for (Index p = 0; p < height * width; ++p) dx[plane * height * width + p] = T(sum[p]);
        }
    });
#endif
}

// What an average divides by: positions along one axis, with the padding or without.
template <typename Axis>
TL_INLINE Place extent(const Axis& axis, Place i, bool count_pad) {
    return count_pad ? axis.last(i) - axis.first(i) : axis.last_inside(i) - axis.first_inside(i);
}

// y = the sum of each window over its size, which counts the padding or not.
template <int size, typename T, typename Axis>
TL_INLINE void average(const T* x, T* y, Index planes, Axis down, Axis across, bool count_pad) {
    each_element(planes, down.out, across.out, [=](Index p, Place row, Place i) {
        const T* plane = x + p * down.in * across.in;
        const Acc<T> rows = Acc<T>(extent(down, row, count_pad));
        Acc<T> sum = 0;
        each_position<size>(down.first_inside(row), down.last_inside(row), across.first_inside(i),
                            across.last_inside(i), 1, 1, across.in,
                            [&](Place at) { sum += Acc<T>(plane[at]); });
        y[(p * down.out + row) * across.out + i] =
            T(divided(sum, rows * Acc<T>(extent(across, i, count_pad))));
    });
}

// dx = the sum, over the windows a position is in, of the window's gradient over its size.
template <int size, typename T, typename Axis>
TL_INLINE void average_backward(const T* g, T* dx, Index planes, Axis down, Axis across,
                                bool count_pad) {
#if defined(__CUDACC__)
    each_element(planes, down.in, across.in, [=](Index plane, Place row, Place p) {
        const T* windows = g + plane * down.out * across.out;
        Acc<T> sum = 0;
        for (Place v = down.low(row); v < down.high(row); ++v)
            for (Place h = across.low(p); h < across.high(p); ++h)
                sum += divided(Acc<T>(windows[v * across.out + h]),
                               Acc<T>(extent(down, v, count_pad) * extent(across, h, count_pad)));
        dx[(plane * down.in + row) * across.in + p] = T(sum);
    });
#else
    const Index in = down.in * across.in;
    parallel_range(planes, kGrain / (in + 1) + 1, [=](Index first, Index last) {
        Workspace<Acc<T>> sum(in);
        for (Index plane = first; plane < last; ++plane) {
            for (Index p = 0; p < in; ++p) sum[p] = 0;
            for (Index v = 0; v < down.out; ++v)
                for (Index h = 0; h < across.out; ++h) {
                    const Acc<T> share =
                        Acc<T>(g[(plane * down.out + v) * across.out + h]) /
                        Acc<T>(extent(down, v, count_pad) * extent(across, h, count_pad));
                    each_position<size>(down.first_inside(v), down.last_inside(v),
                                        across.first_inside(h), across.last_inside(h), 1, 1,
                                        across.in, [&](Index at) { sum[at] += share; });
                }
            for (Index p = 0; p < in; ++p) dx[plane * in + p] = T(sum[p]);
        }
    });
#endif
}

template <typename T>
EACH(planes * out_h * out_w)
void avg_pool2d(const T* x OF(planes * height * width), T* y OF(planes * out_h * out_w),
                Index planes, Index height, Index width, Index kernel_h, Index kernel_w,
                Index stride_h, Index stride_w, Index pad_h, Index pad_w, bool count_pad,
                Index out_h, Index out_w) {
    const PoolAxis down{height, out_h, kernel_h, stride_h, pad_h, 1};
    const PoolAxis across{width, out_w, kernel_w, stride_w, pad_w, 1};
    if (kernel_h == 2 && kernel_w == 2)
        average<2>(x, y, planes, down, across, count_pad);
    else
        average<0>(x, y, planes, down, across, count_pad);
}

template <typename T>
EACH(planes * height * width)
void avg_pool2d_backward(const T* g OF(planes * out_h * out_w), T* dx OF(planes * height * width),
                         Index planes, Index height, Index width, Index kernel_h, Index kernel_w,
                         Index stride_h, Index stride_w, Index pad_h, Index pad_w, bool count_pad,
                         Index out_h, Index out_w) {
    const PoolAxis down{height, out_h, kernel_h, stride_h, pad_h, 1};
    const PoolAxis across{width, out_w, kernel_w, stride_w, pad_w, 1};
    if (kernel_h == 2 && kernel_w == 2)
        average_backward<2>(g, dx, planes, down, across, count_pad);
    else
        average_backward<0>(g, dx, planes, down, across, count_pad);
}

template <typename T>
EACH(planes * out_h * out_w)
void adaptive_avg_pool2d(const T* x OF(planes * height * width), T* y OF(planes * out_h * out_w),
                         Index planes, Index height, Index width, Index out_h, Index out_w) {
    average<0>(x, y, planes, AdaptiveAxis{height, out_h}, AdaptiveAxis{width, out_w}, false);
}

template <typename T>
EACH(planes * height * width)
void adaptive_avg_pool2d_backward(const T* g OF(planes * out_h * out_w),
                                  T* dx OF(planes * height * width), Index planes, Index height,
                                  Index width, Index out_h, Index out_w) {
    average_backward<0>(g, dx, planes, AdaptiveAxis{height, out_h}, AdaptiveAxis{width, out_w},
                        false);
}

}  // namespace tl
