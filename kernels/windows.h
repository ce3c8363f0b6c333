// Where the windows of pooling lie, along an axis and in volumes.
#pragma once

#include "tensorlite.h"

#if defined(__CUDACC__)
#include "device/divisor.h"

// Three axes take more registers than the compiler gives to kernels of elements; it would spill.
#undef EACH
#define EACH(n) __global__ __launch_bounds__(256, 4)
#endif

namespace tl {

// Places within a volume. On CUDA they have 32 bits, and what divides them is known beforehand.
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

// Places first, first + step, … below last.
struct Span {
    Place first, last, step;
    TL_INLINE Place length() const { return last - first; }
};

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
    TL_INLINE Span inside(Place i) const {
        return {first_inside(i), last(i) < in ? last(i) : in, dilation};
    }
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
    // The outputs whose windows may hold place p.
    TL_INLINE Span holding(Place p) const {
        const Place past = p + pad - (kernel - 1) * dilation, end = of_stride.quotient(p + pad) + 1;
        return {past <= 0 ? 0 : Place(of_stride.quotient(past + stride - 1)), end < out ? end : out, 1};
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
    TL_INLINE Span inside(Place i) const { return {first(i), last(i), 1}; }
    TL_INLINE Span holding(Place p) const {
        return {Place(of_in.quotient(Product(p) * out)),
                Place(of_in.quotient(Product(p + 1) * out + in - 1)), 1};
    }
};

// The three axes of a volume.
template <typename Axis>
struct Axes {
    Axis deep, down, across;
    TL_INLINE Index in() const { return (Index)deep.in * down.in * across.in; }
    TL_INLINE Index out() const { return (Index)deep.out * down.out * across.out; }
};

}  // namespace tl
