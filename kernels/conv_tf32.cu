// Convolution of float32 on tensor cores, which round what they multiply to TF32: conv_product.cu's
// kernels, for set_float32_matmul_precision("high").
#include "tensorlite.h"

#if defined(__CUDACC__)
#include "device/convolution.h"

namespace tl {

BLOCKS(blocks, 256, 2)
void conv_product_tf32_32(
    const float* x OF(images * groups * channels * size_d * size_h * size_w),
    const float* w OF(groups * filters * channels * taps_d * taps_h * taps_w),
    const float* bias OPTIONAL(groups * filters),
    float* y OF(images * groups * filters * out_d * out_h * out_w), Index images, Index groups,
    Index channels, Index filters, Index size_d, Index size_h, Index size_w, Index places_d,
    Index places_h, Index places_w, Index taps_d, Index taps_h, Index taps_w, Index step_d,
    Index step_h, Index step_w, Index origin_d, Index origin_h, Index origin_w, Index each_d,
    Index each_h, Index each_w, Index out_d, Index out_h, Index out_w, Index first_d, Index first_h,
    Index first_w, Index stride_d, Index stride_h, Index stride_w, Index blocks) {
    convolve<32, TensorSums<float, 32>>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

BLOCKS(blocks, 256, 2)
void conv_product_tf32_64(
    const float* x OF(images * groups * channels * size_d * size_h * size_w),
    const float* w OF(groups * filters * channels * taps_d * taps_h * taps_w),
    const float* bias OPTIONAL(groups * filters),
    float* y OF(images * groups * filters * out_d * out_h * out_w), Index images, Index groups,
    Index channels, Index filters, Index size_d, Index size_h, Index size_w, Index places_d,
    Index places_h, Index places_w, Index taps_d, Index taps_h, Index taps_w, Index step_d,
    Index step_h, Index step_w, Index origin_d, Index origin_h, Index origin_w, Index each_d,
    Index each_h, Index each_w, Index out_d, Index out_h, Index out_w, Index first_d, Index first_h,
    Index first_w, Index stride_d, Index stride_h, Index stride_w, Index blocks) {
    convolve<64, TensorSums<float, 64>>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

BLOCKS(blocks, 256, 2)
void conv_product_tf32_128(
    const float* x OF(images * groups * channels * size_d * size_h * size_w),
    const float* w OF(groups * filters * channels * taps_d * taps_h * taps_w),
    const float* bias OPTIONAL(groups * filters),
    float* y OF(images * groups * filters * out_d * out_h * out_w), Index images, Index groups,
    Index channels, Index filters, Index size_d, Index size_h, Index size_w, Index places_d,
    Index places_h, Index places_w, Index taps_d, Index taps_h, Index taps_w, Index step_d,
    Index step_h, Index step_w, Index origin_d, Index origin_h, Index origin_w, Index each_d,
    Index each_h, Index each_w, Index out_d, Index out_h, Index out_w, Index first_d, Index first_h,
    Index first_w, Index stride_d, Index stride_h, Index stride_w, Index blocks) {
    convolve<128, TensorSums<float, 128>>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

BLOCKS(blocks, 256, 2)
void conv_weights_tf32_64(
    const float* g OF(images * groups * filters * places_d * places_h * places_w),
    const float* x OF(images * groups * channels * size_d * size_h * size_w),
    float* partial OF(parts * groups * filters * channels * taps_d * taps_h * taps_w), Index images,
    Index groups, Index channels, Index filters, Index size_d, Index size_h, Index size_w,
    Index places_d, Index places_h, Index places_w, Index taps_d, Index taps_h, Index taps_w,
    Index step_d, Index step_h, Index step_w, Index origin_d, Index origin_h, Index origin_w,
    Index each_d, Index each_h, Index each_w, Index parts, Index blocks) {
    correlate<64, TensorSums<float, 64>>(g, x, partial, images, groups, channels, filters, TL_AXES, parts);
}

BLOCKS(blocks, 256, 2)
void conv_weights_tf32_128(
    const float* g OF(images * groups * filters * places_d * places_h * places_w),
    const float* x OF(images * groups * channels * size_d * size_h * size_w),
    float* partial OF(parts * groups * filters * channels * taps_d * taps_h * taps_w), Index images,
    Index groups, Index channels, Index filters, Index size_d, Index size_h, Index size_w,
    Index places_d, Index places_h, Index places_w, Index taps_d, Index taps_h, Index taps_w,
    Index step_d, Index step_h, Index step_w, Index origin_d, Index origin_h, Index origin_w,
    Index each_d, Index each_h, Index each_w, Index parts, Index blocks) {
    correlate<128, TensorSums<float, 128>>(g, x, partial, images, groups, channels, filters, TL_AXES, parts);
}

}  // namespace tl
#endif
