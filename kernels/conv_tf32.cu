// Convolution of float32 on tensor cores, which round what they multiply to TF32: conv_product.cu's
// kernels, for set_float32_matmul_precision("high").
#include "tensorlite.h"

#if defined(__CUDACC__)
#include "device/convolution.h"

namespace tl {

BLOCKS(blocks, 256, 2)
void conv_product_tf32_32(PRODUCT_PARAMETERS(float)) {
    convolve<32, TensorSums<float, 32>>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

BLOCKS(blocks, 256, 2)
void conv_product_tf32_64(PRODUCT_PARAMETERS(float)) {
    convolve<64, TensorSums<float, 64>>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

BLOCKS(blocks, 256, 2)
void conv_product_tf32_128(PRODUCT_PARAMETERS(float)) {
    convolve<128, TensorSums<float, 128>>(x, w, bias, y, images, groups, channels, filters, TL_AXES, TL_TARGET);
}

BLOCKS(blocks, 256, 2)
void conv_weights_tf32_64(WEIGHTS_PARAMETERS(float)) {
    correlate<64, TensorSums<float, 64>>(g, x, partial, images, groups, channels, filters, TL_AXES, parts);
}

BLOCKS(blocks, 256, 2)
void conv_weights_tf32_128(WEIGHTS_PARAMETERS(float)) {
    correlate<128, TensorSums<float, 128>>(g, x, partial, images, groups, channels, filters, TL_AXES, parts);
}

}  // namespace tl
#endif
