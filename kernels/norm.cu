// Layer norm and RMS norm over rows of one float type: see norm.h.
#include "norm.h"

namespace tl {

template <typename T>
ROWS(rows, columns)
void layer_norm(const T* x OF(rows * columns), const T* weight OPTIONAL(columns),
                const T* bias OPTIONAL(columns), T* y LIKE(x), Acc<T>* mean PER_ROW(x),
                Acc<T>* rstd PER_ROW(x), Index rows, Index columns, double eps) {
    normalize<T>(x, weight, bias, y, (T*)nullptr, mean, rstd, rows, columns, eps);
}

template <typename T>
ROWS(parts, columns)
void layer_norm_backward(const T* g OF(rows * columns), const T* x OF(rows * columns),
                         const Acc<T>* mean OF(rows), const Acc<T>* rstd OF(rows),
                         const T* weight OPTIONAL(columns), T* dx LIKE(g),
                         Acc<T>* dweight SUMS(parts, columns), Acc<T>* dbias SUMS(parts, columns),
                         Index rows, Index columns, Index parts) {
    normalize_backward<T>(g, x, mean, rstd, weight, dx, dweight, dbias, rows, columns, parts);
}

template <typename T>
ROWS(rows, columns)
void rms_norm(const T* x OF(rows * columns), const T* weight OPTIONAL(columns),
              T* y LIKE(x), Acc<T>* rstd PER_ROW(x), Index rows, Index columns,
              double eps) {
    scale_rows<T>(x, weight, y, (T*)nullptr, rstd, rows, columns, eps);
}

template <typename T>
ROWS(parts, columns)
void rms_norm_backward(const T* g OF(rows * columns), const T* x OF(rows * columns),
                       const Acc<T>* rstd OF(rows), const T* weight OPTIONAL(columns),
                       T* dx LIKE(g), Acc<T>* dweight SUMS(parts, columns), Index rows,
                       Index columns, Index parts) {
    scale_rows_backward<T>(g, x, rstd, weight, dx, dweight, rows, columns, parts);
}

}  // namespace tl
