// Convolution on CUDA: a product of filters with patches of the image, of which no copy is made
// (device/convolution.h). 16-bit floats are multiplied on tensor cores, float and double on the
// ordinary units; conv_tf32.cu has float on tensor cores. Names end in the rows of a block: filters.
#include "tensorlite.h"

#if defined(__CUDACC__)
#include "device/convolution.h"

namespace tl {

template <typename T, int kRows>
struct SumsFor {
    using type = TensorSums<T, kRows>;
};
template <int kRows>
struct SumsFor<float, kRows> {
    using type = UnitSums<float, kRows>;
};
template <int kRows>
struct SumsFor<double, kRows> {
    using type = UnitSums<double, kRows>;
};

template <typename T>
BLOCKS(blocks, 256, sizeof(T) == 8 ? 1 : 2)
void conv_product_32(
    const T* x OF(images * groups * channels * size_d * size_h * size_w),
    const T* w OF(groups * filters * channels * taps_d * taps_h * taps_w),
    const T* bias OPTIONAL(groups * filters),
    T* y OF(images * groups * filters * out_d * out_h * out_w), Index images, Index groups,
    Index channels, Index filters, Index size_d, Index size_h, Index size_w, Index places_d,
    Index places_h, Index places_w, Index taps_d, Index taps_h, Index taps_w, Index step_d,
    Index step_h, Index step_w, Index origin_d, Index origin_h, Index origin_w, Index each_d,
    Index each_h, Index each_w, Index out_d, Index out_h, Index out_w, Index first_d, Index first_h,
    Index first_w, Index stride_d, Index stride_h, Index stride_w, Index blocks) {
    convolve<32, typename SumsFor<T, 32>::type>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

template <typename T>
BLOCKS(blocks, 256, sizeof(T) == 8 ? 1 : 2)
void conv_product_64(
    const T* x OF(images * groups * channels * size_d * size_h * size_w),
    const T* w OF(groups * filters * channels * taps_d * taps_h * taps_w),
    const T* bias OPTIONAL(groups * filters),
    T* y OF(images * groups * filters * out_d * out_h * out_w), Index images, Index groups,
    Index channels, Index filters, Index size_d, Index size_h, Index size_w, Index places_d,
    Index places_h, Index places_w, Index taps_d, Index taps_h, Index taps_w, Index step_d,
    Index step_h, Index step_w, Index origin_d, Index origin_h, Index origin_w, Index each_d,
    Index each_h, Index each_w, Index out_d, Index out_h, Index out_w, Index first_d, Index first_h,
    Index first_w, Index stride_d, Index stride_h, Index stride_w, Index blocks) {
    convolve<64, typename SumsFor<T, 64>::type>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

template <typename T>
BLOCKS(blocks, 256, sizeof(T) == 8 ? 1 : 2)
void conv_product_128(
    const T* x OF(images * groups * channels * size_d * size_h * size_w),
    const T* w OF(groups * filters * channels * taps_d * taps_h * taps_w),
    const T* bias OPTIONAL(groups * filters),
    T* y OF(images * groups * filters * out_d * out_h * out_w), Index images, Index groups,
    Index channels, Index filters, Index size_d, Index size_h, Index size_w, Index places_d,
    Index places_h, Index places_w, Index taps_d, Index taps_h, Index taps_w, Index step_d,
    Index step_h, Index step_w, Index origin_d, Index origin_h, Index origin_w, Index each_d,
    Index each_h, Index each_w, Index out_d, Index out_h, Index out_w, Index first_d, Index first_h,
    Index first_w, Index stride_d, Index stride_h, Index stride_w, Index blocks) {
    convolve<128, typename SumsFor<T, 128>::type>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

template <typename T>
BLOCKS(blocks, 256, sizeof(T) == 8 ? 1 : 2)
void conv_weights_64(
    const T* g OF(images * groups * filters * places_d * places_h * places_w),
    const T* x OF(images * groups * channels * size_d * size_h * size_w),
    Acc<T>* partial OF(parts * groups * filters * channels * taps_d * taps_h * taps_w), Index images,
    Index groups, Index channels, Index filters, Index size_d, Index size_h, Index size_w,
    Index places_d, Index places_h, Index places_w, Index taps_d, Index taps_h, Index taps_w,
    Index step_d, Index step_h, Index step_w, Index origin_d, Index origin_h, Index origin_w,
    Index each_d, Index each_h, Index each_w, Index parts, Index blocks) {
    correlate<64, typename SumsFor<T, 64>::type>(g, x, partial, images, groups, channels, filters, TL_AXES, parts);
}

template <typename T>
BLOCKS(blocks, 256, sizeof(T) == 8 ? 1 : 2)
void conv_weights_128(
    const T* g OF(images * groups * filters * places_d * places_h * places_w),
    const T* x OF(images * groups * channels * size_d * size_h * size_w),
    Acc<T>* partial OF(parts * groups * filters * channels * taps_d * taps_h * taps_w), Index images,
    Index groups, Index channels, Index filters, Index size_d, Index size_h, Index size_w,
    Index places_d, Index places_h, Index places_w, Index taps_d, Index taps_h, Index taps_w,
    Index step_d, Index step_h, Index step_w, Index origin_d, Index origin_h, Index origin_w,
    Index each_d, Index each_h, Index each_w, Index parts, Index blocks) {
    correlate<128, typename SumsFor<T, 128>::type>(g, x, partial, images, groups, channels, filters, TL_AXES, parts);
}

}  // namespace tl
#endif
