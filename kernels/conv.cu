// Convolution over images (N, C, H, W) and its gradients. A 1-d one has a height of 1.
//
// `channels` and `filters` are those of one group; out = (in + 2 pad - dilation (kernel - 1) - 1) /
// stride + 1. On the CPU each is one call: Winograd's for 3×3 filters of stride 1 in float, else an
// implicit matrix product. On CUDA the matrix product is the BLAS library's, between the columns
// that im2col writes.
#include "tensorlite.h"

#if !defined(__CUDACC__)
#include "implicit_gemm.h"
#include "winograd.h"
#endif

namespace tl {

// Within a plane the two kernels of CUDA count in 32 bits: a division of 64 is a call there.

// columns[n, c, i, j, y, x] = image[n, c, y stride + i dilation - pad, x stride + j dilation -
// pad], 0 outside
template <typename T>
EACH(images * channels * kernel_h * kernel_w * out_h * out_w)
void im2col(const T* image OF(images * channels * height * width),
            T* columns OF(images * channels * kernel_h * kernel_w * out_h * out_w), Index images,
            Index channels, Index height, Index width, Index kernel_h, Index kernel_w,
            Index stride_h, Index stride_w, Index pad_h, Index pad_w, Index dilation_h,
            Index dilation_w, Index out_h, Index out_w) {
    const int across = int(out_w), taps_across = int(kernel_w);
    const Index places = out_h * out_w, taps = kernel_h * kernel_w;
    each(images * channels * taps * places, [=](Index i) {
        const Index window = i / places, plane = window / taps;
        const int place = int(i - window * places), tap = int(window - plane * taps);
        const Index y = place / across * stride_h + tap / taps_across * dilation_h - pad_h;
        const Index x = place % across * stride_w + tap % taps_across * dilation_w - pad_w;
        const bool inside = x >= 0 && x < width && y >= 0 && y < height;
        columns[i] = inside ? image[(plane * height + y) * width + x] : T(0.0f);
    });
}

// image[n, c, y, x] = the sum of all columns that im2col would take from there
template <typename T>
EACH(images * channels * height * width)
void col2im(const T* columns OF(images * channels * kernel_h * kernel_w * out_h * out_w),
            T* image OF(images * channels * height * width), Index images, Index channels,
            Index height, Index width, Index kernel_h, Index kernel_w, Index stride_h,
            Index stride_w, Index pad_h, Index pad_w, Index dilation_h, Index dilation_w,
            Index out_h, Index out_w) {
    const int step_h = int(stride_h), step_w = int(stride_w);
    each(images * channels * height * width, [=](Index pixel) {
        const Index image_row = pixel / width, image_plane = image_row / height;
        const int x = int(pixel - image_row * width + pad_w);
        const int y = int(image_row - image_plane * height + pad_h);
        const T* plane = columns + image_plane * kernel_h * kernel_w * out_h * out_w;
        Acc<T> sum = 0;
        for (int i = 0; i < kernel_h; ++i)
            for (int j = 0; j < kernel_w; ++j) {
                const int down = y - i * int(dilation_h), across = x - j * int(dilation_w);
                const int row = down / step_h, column = across / step_w;
                if (down >= 0 && across >= 0 && row < out_h && column < out_w &&
                    row * step_h == down && column * step_w == across)
                    sum += Acc<T>(plane[((i * kernel_w + j) * out_h + row) * out_w + column]);
            }
        image[pixel] = T(sum);
    });
}

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
