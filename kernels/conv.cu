// Convolution over images (N, C, H, W) and its gradients. A 1-d one has a height of 1.
//
// `channels` and `filters` are those of one group; out = (in + 2 pad - dilation (kernel - 1) - 1) /
// stride + 1. Each is one call: Winograd's for 3×3 filters of stride 1 in float, else an implicit
// matrix product. CUDA's kernels are in conv_product.cu.
#include "tensorlite.h"

#if !defined(__CUDACC__)
#include "host/implicit_gemm.h"
#include "host/winograd.h"
#endif

namespace tl {

#if !defined(__CUDACC__)

// Whether Winograd's way applies and wins: tiles of 4×4 may be partly empty, few channels waste
// lanes.
template <typename T>
inline bool takes_winograd(const ConvShape& s) {
    const Index tiled = round_up(s.out_h, winograd::kOutput) * round_up(s.out_w, winograd::kOutput);
    return sizeof(T) == 4 && s.groups == 1 && s.kernel_h == 3 && s.kernel_w == 3 &&
           s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
           s.channels >= 12 && s.filters >= 12 && s.images > 0 && s.out_pixels() > 0 &&
           tiled <= 2 * s.out_pixels();
}

inline winograd::Strips input_strips(const ConvShape& s) {
    return {s.channels,
            s.height,
            s.width,
            s.pad_h,
            s.pad_w,
            ceil_div(s.out_h, winograd::kOutput),
            ceil_div(s.out_w, winograd::kOutput),
            winograd::kPatch};
}

// y = x ∗ w + bias
template <REAL T>
HOST
void conv2d(const T* x OF(images * groups * channels * height * width),
            const T* w OF(groups * filters * channels * kernel_h * kernel_w),
            const T* bias OPTIONAL(groups * filters),
            T* y OF(images * groups * filters * out_h * out_w), Index images, Index groups,
            Index channels, Index height, Index width, Index filters, Index kernel_h,
            Index kernel_w, Index stride_h, Index stride_w, Index pad_h, Index pad_w,
            Index dilation_h, Index dilation_w, Index out_h, Index out_w) {
    const ConvShape s{images,     groups,     channels, height,   width, filters,
                      kernel_h,   kernel_w,   stride_h, stride_w, pad_h, pad_w,
                      dilation_h, dilation_w, out_h,    out_w};
    if constexpr (sizeof(T) == 4) {
        if (takes_winograd<T>(s)) {
            Workspace<float> u(winograd::filter_floats(channels, filters));
            winograd::transform_filters(w, channels, filters, 9, 9 * channels, false, u);
            return winograd::convolve(images, input_strips(s), x, u, filters, out_h, out_w, bias,
                                      y);
        }
    }
    convolve(s, x, w, bias, y);
}

// The gradient of conv2d with respect to x.
template <REAL T>
HOST
void conv2d_input_gradient(const T* g OF(images * groups * filters * out_h * out_w),
                           const T* w OF(groups * filters * channels * kernel_h * kernel_w),
                           T* dx OF(images * groups * channels * height * width), Index images,
                           Index groups, Index channels, Index height, Index width, Index filters,
                           Index kernel_h, Index kernel_w, Index stride_h, Index stride_w,
                           Index pad_h, Index pad_w, Index dilation_h, Index dilation_w,
                           Index out_h, Index out_w) {
    const ConvShape s{images,     groups,     channels, height,   width, filters,
                      kernel_h,   kernel_w,   stride_h, stride_w, pad_h, pad_w,
                      dilation_h, dilation_w, out_h,    out_w};
    if constexpr (sizeof(T) == 4) {
        if (takes_winograd<T>(s)) {  // a convolution with the filters turned around
            Workspace<float> u(winograd::filter_floats(filters, channels));
            winograd::transform_filters(w, filters, channels, 9 * channels, 9, true, u);
            const winograd::Strips strips{filters,
                                          out_h,
                                          out_w,
                                          2 - pad_h,
                                          2 - pad_w,
                                          ceil_div(height, winograd::kOutput),
                                          ceil_div(width, winograd::kOutput),
                                          winograd::kPatch};
            return winograd::convolve(images, strips, g, u, channels, height, width, nullptr, dx);
        }
    }
    convolve_input_gradient(s, g, w, dx);
}

// The gradients of conv2d with respect to w and, where wanted, the bias.
template <REAL T>
HOST
void conv2d_weight_gradient(const T* g OF(images * groups * filters * out_h * out_w),
                            const T* x OF(images * groups * channels * height * width),
                            T* dw OF(groups * filters * channels * kernel_h * kernel_w),
                            T* dbias OPTIONAL(groups * filters), Index images, Index groups,
                            Index channels, Index height, Index width, Index filters,
                            Index kernel_h, Index kernel_w, Index stride_h, Index stride_w,
                            Index pad_h, Index pad_w, Index dilation_h, Index dilation_w,
                            Index out_h, Index out_w) {
    const ConvShape s{images,     groups,     channels, height,   width, filters,
                      kernel_h,   kernel_w,   stride_h, stride_w, pad_h, pad_w,
                      dilation_h, dilation_w, out_h,    out_w};
    if (dbias) convolve_bias_gradient(s, g, dbias);
    if constexpr (sizeof(T) == 4) {
        if (takes_winograd<T>(s)) {
            const winograd::Strips in = input_strips(s);
            const winograd::Strips out{filters, out_h,   out_w,    0,
                                       0,       in.rows, in.tiles, winograd::kOutput};
            return winograd::weight_gradient(images, in, x, out, g, dw);
        }
    }
    convolve_weight_gradient(s, x, g, dw);
}

#endif

}  // namespace tl
