// Arithmetic over whole arrays.
#include "tensorlite.h"

namespace tl {

template <REAL T>
EACH(n)
void exp(const T* x OF(n), T* y LIKE(x), Index n) {
    map(n, [](T x, T& y) { y = exp(x); }, x, out(y));
}

template <REAL T>
EACH(n)
void expm1(const T* x OF(n), T* y LIKE(x), Index n) {
    map(n, [](T x, T& y) { y = expm1(x); }, x, out(y));
}

template <REAL T>
EACH(n)
void log(const T* x OF(n), T* y LIKE(x), Index n) {
    map(n, [](T x, T& y) { y = log(x); }, x, out(y));
}

template <REAL T>
EACH(n)
void log1p(const T* x OF(n), T* y LIKE(x), Index n) {
    map(n, [](T x, T& y) { y = log1p(x); }, x, out(y));
}

template <REAL T>
EACH(n)
void erf(const T* x OF(n), T* y LIKE(x), Index n) {
    map(n, [](T x, T& y) { y = erf(x); }, x, out(y));
}

template <int exponent, typename A>
TL_INLINE A whole_power(A x) {
    if constexpr (exponent < 0) {
        return 1 / whole_power<-exponent>(x);
    } else if constexpr (exponent < 2) {
        return exponent ? x : A(1);
    } else {
        const A half = whole_power<exponent / 2>(x);
        return exponent % 2 ? half * half * x : half * half;
    }
}

template <int exponent, typename T>
TL_INLINE void power_map(const T* x, T* y, Index n) {
    using A = Acc<T>;
    map(n, [](A x, A& y) { y = whole_power<exponent>(x); }, x, out(y));
}

template <int exponent, typename T>
TL_INLINE void power_slope_map(const T* g, const T* x, T* dx, Index n) {
    using A = Acc<T>;
    map(n, [](A g, A x, A& dx) { dx = g * (exponent * whole_power<exponent - 1>(x)); }, g, x, out(dx));
}

// y = x^exponent for -2, -1, 2, 3, 4
template <typename T>
EACH(n)
void power(const T* x OF(n), T* y LIKE(x), Index n, int exponent) {
    if (exponent == -2) power_map<-2>(x, y, n);
    if (exponent == -1) power_map<-1>(x, y, n);
    if (exponent == 2) power_map<2>(x, y, n);
    if (exponent == 3) power_map<3>(x, y, n);
    if (exponent == 4) power_map<4>(x, y, n);
}

// dx = g exponent x^(exponent - 1) for -2, -1, 2, 3, 4
template <typename T>
EACH(n)
void power_slope(const T* g OF(n), const T* x OF(n), T* dx LIKE(g), Index n, int exponent) {
    if (exponent == -2) power_slope_map<-2>(g, x, dx, n);
    if (exponent == -1) power_slope_map<-1>(g, x, dx, n);
    if (exponent == 2) power_slope_map<2>(g, x, dx, n);
    if (exponent == 3) power_slope_map<3>(g, x, dx, n);
    if (exponent == 4) power_slope_map<4>(g, x, dx, n);
}

// z = x where c is not 0, else y. (A bool would not be loaded in vectors.)
template <typename T>
EACH(n)
void select(const uint8_t* c OF(n), const T* x OF(n), const T* y OF(n), T* z LIKE(x), Index n) {
    using A = Acc<T>;
    map(n, [](float c, A x, A y, A& z) { z = c != 0 ? x : y; }, c, x, y, out(z));
}

// z = value where c is `replaced`, 0 or 1, else x
template <typename T>
EACH(n)
void select_or(const uint8_t* c OF(n), const T* x OF(n), T* z LIKE(x), Index n, double value, float replaced) {
    using A = Acc<T>;
    auto rule = [v = A(value), replaced](float c, A x, A& z) { z = c == replaced ? v : x; };
    map(n, rule, c, x, out(z));
}

// y = x within [low, high]; NaN stays NaN
template <typename T>
EACH(n)
void clamp(const T* x OF(n), T* y LIKE(x), Index n, double low, double high) {
    using A = Acc<T>;
    auto rule = [a = A(low), b = A(high)](A x, A& y) {
        const A above = x < a ? a : x;
        y = above > b ? b : above;
    };
    map(n, rule, x, out(y));
}

// dx = g within [low, high], else 0
template <typename T>
EACH(n)
void within(const T* g OF(n), const T* x OF(n), T* dx LIKE(g), Index n, double low, double high) {
    using A = Acc<T>;
    auto rule = [a = A(low), b = A(high)](A g, A x, A& dx) {
        const A kept = x >= a ? g : A(0);
        dx = x <= b ? kept : A(0);
    };
    map(n, rule, g, x, out(dx));
}

// The cotangent of x, the larger of x and y for sign 1, the smaller for -1; of equal ones half
template <typename T>
EACH(n)
void of_larger(const T* g OF(n), const T* x OF(n), const T* y OF(n), T* dx LIKE(g), Index n, double sign) {
    using A = Acc<T>;
    auto rule = [s = A(sign)](A g, A x, A y, A& dx) {
        const A kept = x == y ? g * A(0.5) : g;
        dx = s * x < s * y ? A(0) : kept;
    };
    map(n, rule, g, x, y, out(dx));
}

// The same for a number in the place of y
template <typename T>
EACH(n)
void of_larger_than(const T* g OF(n), const T* x OF(n), T* dx LIKE(g), Index n, double bound, double sign) {
    using A = Acc<T>;
    auto rule = [s = A(sign), b = A(bound)](A g, A x, A& dx) {
        const A kept = x == b ? g * A(0.5) : g;
        dx = s * x < s * b ? A(0) : kept;
    };
    map(n, rule, g, x, out(dx));
}

// x on its way to a 16-bit type: rounded to odd, so that rounding again gives what one rounding would
// (Boldo and Melquiond, "When double rounding is odd", 2005).
TL_INLINE float halfway(double x) {
    const float nearest = float(x);
    const double error = x - double(nearest);
    const uint32_t bits = bits_of(nearest);
    const uint32_t towards_x = (error > 0) == (x > 0) ? bits + 1 : bits - 1;
    return error != 0 && error == error && bits % 2 == 0 ? float_of(towards_x) : nearest;
}
TL_INLINE float halfway(float x) { return x; }

// y = T(x)
template <STORED S, STORED T>
EACH(n)
void cast(const S* x OF(n), T* y OF(n), Index n) {
    auto convert = [](Acc<S> x, Acc<T>& y) {
        if constexpr (sizeof(T) == 2) {
            y = halfway(x);
        } else {
            y = Acc<T>(x);
        }
    };
    map(n, convert, x, out(y));
}

}  // namespace tl
