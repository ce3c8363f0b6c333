// RMS norm under autocast: y and the parameters are float32, and products read a copy of y in 16 bits.
#include "norm.h"

namespace tl {

template <SHORT T>
ROWS(rows, columns)
void rms_norm_short(const float* x OF(rows * columns), const float* weight OPTIONAL(columns),
                    float* y OF(rows * columns), T* copy OF(rows * columns), float* rstd OF(rows),
                    Index rows, Index columns, double eps) {
    scale_rows<T>(x, weight, y, copy, rstd, rows, columns, eps);
}

template <SHORT T>
ROWS(rows, columns)
void rms_norm_of_short(const T* x OF(rows * columns), const float* weight OPTIONAL(columns),
                       float* y OF(rows * columns), T* copy OF(rows * columns), float* rstd OF(rows),
                       Index rows, Index columns, double eps) {
    scale_rows<T>(x, weight, y, copy, rstd, rows, columns, eps);
}

// g is in 16 bits, and x in 16 bits or, as `wide_x`, in float32; dx is of x's type.
template <SHORT T>
ROWS(parts, columns)
void rms_norm_backward_short(const T* g OF(rows * columns), const T* x OPTIONAL(rows * columns),
                             const float* wide_x OPTIONAL(rows * columns), const float* rstd OF(rows),
                             const float* weight OPTIONAL(columns), T* dx OPTIONAL(rows * columns),
                             float* wide_dx OPTIONAL(rows * columns), float* dweight OF(parts * columns),
                             Index rows, Index columns, Index parts) {
    if (x)
        scale_rows_backward<T>(g, x, rstd, weight, dx, dweight, rows, columns, parts);
    else
        scale_rows_backward<T>(g, wide_x, rstd, weight, wide_dx, dweight, rows, columns, parts);
}

}  // namespace tl
