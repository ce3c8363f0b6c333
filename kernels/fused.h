// What generated kernels are written with: chains of operations on elements, each rounded by itself.
//
// The families whose kernels may be links of a chain are included after this header. In them EACH
// stands for a function of single elements, and map() for one call of its rule, so that a chain runs
// the very formulas that the kernels run. `map_arrays` is the map over arrays here.
#pragma once

#define map map_arrays
#if defined(__CUDACC__)
#include "device/team.h"
#else
#include "host/team.h"
#endif
#undef map

#undef EACH
#undef ROWS
#define EACH(n) TL_INLINE
#define ROWS(n, columns) inline

namespace tl {

// ---- one element in the place of a map ----------------------------------------------------------

template <typename T>
struct Single {
    Acc<T> value;
    TL_INLINE void write_back() const {}
};
template <typename T>
struct SingleOut {
    T* target;
    Acc<T> value;
    TL_INLINE void write_back() const { *target = T(value); }
};
template <typename T>
TL_INLINE Single<T> single(const T* data) {
    return {Acc<T>(*data)};
}
template <typename T>
TL_INLINE SingleOut<T> single(Out<T> operand) {
    return {operand.data, Acc<T>()};
}
template <typename T>
TL_INLINE SingleOut<T> single(InOut<T> operand) {
    return {operand.data, Acc<T>(*operand.data)};
}
template <typename F, typename... Elements>
TL_INLINE void run_single(const F& f, Elements... elements) {
    f(elements.value...);
    (elements.write_back(), ...);
}
template <typename F, typename... Operands>
TL_INLINE void map(Index, const F& f, Operands... operands) {
    run_single(f, single(operands)...);
}

// ---- rounding -----------------------------------------------------------------------------------

// The result of one operation, which no other is contracted with.
#if defined(__CUDACC__)
TL_INLINE float apart(float x) { return __fadd_rn(x, -0.0f); }
TL_INLINE double apart(double x) { return __dadd_rn(x, -0.0); }
#else
template <typename A>
TL_INLINE A apart(A x) {
    return __builtin_assoc_barrier(x);
}
#endif

// ---- operations that have no kernel of their own, as the array libraries compute them -----------

#if defined(__CUDACC__)
TL_INLINE float plus(float x, float y) { return __fadd_rn(x, y); }
TL_INLINE float minus(float x, float y) { return __fsub_rn(x, y); }
TL_INLINE float times(float x, float y) { return __fmul_rn(x, y); }
TL_INLINE double plus(double x, double y) { return __dadd_rn(x, y); }
TL_INLINE double minus(double x, double y) { return __dsub_rn(x, y); }
TL_INLINE double times(double x, double y) { return __dmul_rn(x, y); }
#else
template <typename A>
TL_INLINE A plus(A x, A y) {
    return apart(x + y);
}
template <typename A>
TL_INLINE A minus(A x, A y) {
    return apart(x - y);
}
template <typename A>
TL_INLINE A times(A x, A y) {
    return apart(x * y);
}
#endif
template <typename A>
TL_INLINE A over(A x, A y) {
    return apart(x / y);
}
template <typename A>
TL_INLINE A larger(A x, A y) {
    return x != x || x > y ? x : y;
}
template <typename A>
TL_INLINE A smaller(A x, A y) {
    return x != x || x < y ? x : y;
}

}  // namespace tl
