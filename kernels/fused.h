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

// The result of one operation, with which no other is contracted: compilers make one instruction of
// a product and a sum, but not through whole numbers. `zero` is 0, which they must not know.
TL_INLINE float apart(float x, uint64_t zero) { return float_of(bits_of(x) ^ uint32_t(zero)); }
TL_INLINE double apart(double x, uint64_t zero) {
#if defined(__CUDACC__)
    return double_of((uint64_t)__double_as_longlong(x) ^ zero);
#else
    uint64_t bits;
    __builtin_memcpy(&bits, &x, 8);
    return double_of(bits ^ zero);
#endif
}

// ---- operations that have no kernel of their own, as the array libraries compute them -----------

template <typename A>
TL_INLINE A plus(A x, A y) {
    return x + y;
}
template <typename A>
TL_INLINE A minus(A x, A y) {
    return x - y;
}
template <typename A>
TL_INLINE A times(A x, A y) {
    return x * y;
}
template <typename A>
TL_INLINE A over(A x, A y) {
    return x / y;
}
template <typename A>
TL_INLINE A larger(A x, A y) {
    return x != x || x > y ? x : y;
}
template <typename A>
TL_INLINE A smaller(A x, A y) {
    return x != x || x < y ? x : y;
}

#if !defined(__CUDACC__)
// ---- sums of rows, added in the order in which NumPy adds what lies one behind the other --------

constexpr Index kPairwise = 128;

// At most kPairwise numbers: eight sums side by side, then the rest.
template <typename A>
TL_APART A block_sum(const A* x, Index n) {
    if (n < 8) {
        A sum = 0;
        for (Index i = 0; i < n; ++i) sum += x[i];
        return sum;
    }
    A sums[8];
    for (int k = 0; k < 8; ++k) sums[k] = x[k];
    Index i = 8;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; ++k) sums[k] += x[i + k];
    A sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    for (; i < n; ++i) sum += x[i];
    return sum;
}

// The sum of f(j), computed a block at a time; longer rows are halved, at multiples of eight.
template <typename A, typename F>
A row_total(const F& f, Index first, Index n) {
    if (n > kPairwise) {
        const Index half = n / 2 - n / 2 % 8;
        const A low = row_total<A>(f, first, half);
        return low + row_total<A>(f, first + half, n - half);
    }
    alignas(64) A block[kPairwise];
    TL_INDEPENDENT
    for (Index j = 0; j < n; ++j) block[j] = f(first + j);
    return block_sum(block, n);
}
#endif

}  // namespace tl
