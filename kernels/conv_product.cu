// Convolution on CUDA: a product of filters with patches of the image, of which no copy is made
// (device/convolution.h). 16-bit floats are multiplied on tensor cores, float and double on the
// ordinary units; conv_tf32.cu has float on tensor cores. Names end in the rows of a block: filters.
// Of float two blocks of 128 rows would need a few registers more than a processor has.
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
void conv_product_32(PRODUCT_PARAMETERS(T)) {
    convolve<32, typename SumsFor<T, 32>::type>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

template <typename T>
BLOCKS(blocks, 256, sizeof(T) == 8 ? 1 : 2)
void conv_product_64(PRODUCT_PARAMETERS(T)) {
    convolve<64, typename SumsFor<T, 64>::type>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

template <typename T>
BLOCKS(blocks, 256, sizeof(T) == 2 ? 2 : 1)
void conv_product_128(PRODUCT_PARAMETERS(T)) {
    convolve<128, typename SumsFor<T, 128>::type>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

template <typename T>
BLOCKS(blocks, 256, sizeof(T) == 8 ? 1 : 2)
void conv_weights_64(WEIGHTS_PARAMETERS(T)) {
    correlate<64, typename SumsFor<T, 64>::type>(g, x, partial, images, groups, channels, filters, TL_AXES, parts);
}

template <typename T>
BLOCKS(blocks, 256, sizeof(T) == 2 ? 2 : 1)
void conv_weights_128(WEIGHTS_PARAMETERS(T)) {
    correlate<128, typename SumsFor<T, 128>::type>(g, x, partial, images, groups, channels, filters, TL_AXES, parts);
}

}  // namespace tl
#endif
