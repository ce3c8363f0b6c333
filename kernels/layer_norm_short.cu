// Layer norm under autocast: y and the parameters are float32, and products read a copy of y in 16 bits.
#include "norm.h"

namespace tl {

template <SHORT T>
ROWS(rows, columns)
void layer_norm_short(const float* x OF(rows * columns), const float* weight OPTIONAL(columns),
                      const float* bias OPTIONAL(columns), float* y OF(rows * columns),
                      T* copy OF(rows * columns), float* mean OF(rows), float* rstd OF(rows), Index rows,
                      Index columns, double eps) {
    normalize<T>(x, weight, bias, y, copy, mean, rstd, rows, columns, eps);
}

template <SHORT T>
ROWS(rows, columns)
void layer_norm_of_short(const T* x OF(rows * columns), const float* weight OPTIONAL(columns),
                         const float* bias OPTIONAL(columns), float* y OF(rows * columns),
                         T* copy OF(rows * columns), float* mean OF(rows), float* rstd OF(rows),
                         Index rows, Index columns, double eps) {
    normalize<T>(x, weight, bias, y, copy, mean, rstd, rows, columns, eps);
}

// g is in 16 bits, and x in 16 bits or, as `wide_x`, in float32; dx is of x's type.
template <SHORT T>
ROWS(parts, columns)
void layer_norm_backward_short(const T* g OF(rows * columns), const T* x OPTIONAL(rows * columns),
                               const float* wide_x OPTIONAL(rows * columns), const float* mean OF(rows),
                               const float* rstd OF(rows), const float* weight OPTIONAL(columns),
                               T* dx OPTIONAL(rows * columns), float* wide_dx OPTIONAL(rows * columns),
                               float* dweight OF(parts * columns), float* dbias OF(parts * columns),
                               Index rows, Index columns, Index parts) {
    if (x)
        normalize_backward<T>(g, x, mean, rstd, weight, dx, dweight, dbias, rows, columns, parts);
    else
        normalize_backward<T>(g, wide_x, mean, rstd, weight, wide_dx, dweight, dbias, rows, columns, parts);
}

}  // namespace tl
