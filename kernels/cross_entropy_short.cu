// Softmax cross-entropy of logits in 16 bits, under autocast; the loss and the weights of classes are float32.
#include "cross_entropy.h"

namespace tl {

template <typename T>
struct IsHalf {
    static constexpr bool value = false;
};
template <>
struct IsHalf<f16> {
    static constexpr bool value = true;
};

// The gradient of bfloat16 is that, too; of float16 it is float32, in `wide_dx`: before it is scaled it may
// vanish.
template <SHORT T>
ROWS(rows, classes)
void cross_entropy_of_short(const T* x OF(rows * classes), const Index* labels OF(rows),
                            const float* weight OPTIONAL(classes), const float* divisor OPTIONAL(1),
                            float* loss OF(rows), T* dx OPTIONAL(rows * classes),
                            float* wide_dx OPTIONAL(rows * classes), Index rows, Index classes,
                            Index ignore_index, double smoothing) {
    if constexpr (IsHalf<T>::value)
        losses_of_rows(x, labels, weight, divisor, loss, wide_dx, rows, classes, ignore_index, smoothing);
    else
        losses_of_rows(x, labels, weight, divisor, loss, dx, rows, classes, ignore_index, smoothing);
}

}  // namespace tl
