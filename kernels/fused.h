// What generated kernels are written with: chains of operations on elements, each rounded by itself.
//
// The families whose kernels may be links of a chain are included after this header. In them EACH
// stands for a function of single elements, and map() for one call of its rule, so that a chain runs
// the very formulas that the kernels run. `map_arrays` is the map over arrays here.
#pragma once

#if defined(__CUDACC__)
#define map map_arrays
#include "device/team.h"
#else
#define map map_in_blocks
#include "host/team.h"
#endif
#undef map

#undef EACH
#undef ROWS
#define EACH(n) TL_INLINE
#define ROWS(n, columns) TL_INLINE

// What stands before a generated kernel: one over elements, one over rows that it adds up.
#if defined(__CUDACC__)
#define FUSED_EACH extern "C" __global__ __launch_bounds__(256)
#define FUSED_ROWS(T) extern "C" __global__ __launch_bounds__(tl::kMaxLanes<T>, 1)
#else
#define FUSED_EACH static
#define FUSED_ROWS(T) static
#endif

// What is computed of an element is part of each loop that computes it: a long rule, which stands in two
// of them, would be a call in both, and neither in vectors.
#if defined(__CUDACC__)
#define RULE
#else
#define RULE __attribute__((always_inline))
#endif

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

// The result of one operation as an array of type T would hold it.
template <typename T, typename A>
TL_INLINE A rounded(A x, uint64_t zero) {
    if constexpr (sizeof(T) == 2) {
        return A(T(x));
    } else if constexpr (A(0.5) == A(0)) {  // whole numbers
        return x;
    } else {
        return apart(x, zero);
    }
}

// ---- operations that have no kernel of their own, as the array libraries compute them -----------

// Whole numbers begin anew beyond the largest, as those of the array libraries.
template <typename A>
TL_INLINE A plus(A x, A y) {
    return x + y;
}
TL_INLINE Index plus(Index x, Index y) { return Index(uint64_t(x) + uint64_t(y)); }
template <typename A>
TL_INLINE A minus(A x, A y) {
    return x - y;
}
TL_INLINE Index minus(Index x, Index y) { return Index(uint64_t(x) - uint64_t(y)); }
template <typename A>
TL_INLINE A times(A x, A y) {
    return x * y;
}
TL_INLINE Index times(Index x, Index y) { return Index(uint64_t(x) * uint64_t(y)); }
TL_INLINE Index abs(Index x) { return x < 0 ? minus(Index(0), x) : x; }
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

// An element that dropout has scaled, or 0 where the random word says so.
template <typename A>
TL_INLINE A dropped(uint32_t word, int least, A scaled) {
    return int(word >> 8) < least ? A(0) : scaled;
}

// ---- rows that lie anywhere ---------------------------------------------------------------------

#if defined(__CUDACC__)
TL_INLINE Index quotient(Index a, Index b) {  // a division of 64 bits is a call
    return (a | b) >> 32 ? a / b : Index(uint32_t(a) / uint32_t(b));
}

// body(row, run) for every row, in which run(f, y...) means f(j, y[j]...) for its elements: here for one.
template <typename T, typename F>
TL_INLINE void each_element(Index rows, Index columns, const F& body) {
    for (Index i = lane_index(); i < rows * columns; i += lane_count()) {
        const Index r = quotient(i, columns);
        const Index at = i - r * columns;
        body(r, [&](const auto& f, auto*... to) { f(Slot{at, -1, -1}, to[at]...); });
    }
}

// A team adds up what its lanes hold, and asks for places beyond the row, too: they read another
// element, and write none.
TL_INLINE Index inside(Slot j, Index columns) { return j.at < columns ? j.at : columns - 1; }
TL_INLINE bool is_inside(Slot j, Index columns) { return j.at < columns; }
#else
// ---- large outputs are written past the caches, a cache line of each at a time ------------------

// An input of such a map.
template <typename T>
struct Given {
    static constexpr Index kSize = kCacheLine;
    const T* data;
    TL_INLINE Lane<T> lane(Index first, Index j) const { return {Acc<T>(data[first + j])}; }
    TL_INLINE void store(Index, Index) const {}
    bool fits() const { return true; }
};
// An output: where the elements of a line are made, and where they belong.
template <typename T>
struct Line {
    static constexpr Index kSize = sizeof(T);
    T* to;
    alignas(kCacheLine) T values[kCacheLine];
    explicit Line(T* to) : to(to) {}
    TL_INLINE OutLane<T> lane(Index, Index j) { return {values + j, Acc<T>()}; }
    TL_INLINE void store(Index first, Index count) const {
        for (Index at = 0; at < count * kSize; at += sizeof(Vector)) {
            Vector value;
            std::memcpy(&value, (const char*)values + at, sizeof value);
            store_past((char*)(to + first) + at, value);
        }
    }
    bool fits() const { return (uintptr_t)to % sizeof(Vector) == 0; }
};
template <typename T>
TL_INLINE Given<T> held(const T* data) {
    return {data};
}
template <typename T>
TL_INLINE Line<T> held(Out<T> operand) {
    return Line<T>(operand.data);
}
template <typename T>
TL_INLINE const T* from(const T* data, Index first) {
    return data + first;
}
template <typename T>
TL_INLINE Out<T> from(Out<T> operand, Index first) {
    return {operand.data + first};
}
template <typename T>
TL_INLINE Index written(const T*) {
    return 0;
}
template <typename T>
TL_INLINE Index written(Out<T>) {
    return sizeof(T);
}

// So many elements are whole lines of every output.
template <typename... H>
constexpr Index line_of() {
    Index least = kCacheLine;
    ((least = H::kSize < least ? H::kSize : least), ...);
    return kCacheLine / least;
}

// Whole lines of the elements up to `last`; returns where they end.
template <typename F, typename... H>
TL_INLINE Index map_lines(Index first, Index last, const F& f, H&&... operands) {
    constexpr Index count = line_of<std::decay_t<H>...>();
    for (; first + count <= last; first += count) {
        TL_INDEPENDENT
        for (Index j = 0; j < count; ++j) apply(f, operands.lane(first, j)...);
        (operands.store(first, count), ...);
    }
    return first;
}

template <typename F, typename... Operands>
TL_INLINE void map_arrays(Index n, const F& f, Operands... operands) {
    constexpr Index kUnit = 256;  // so that every range begins at a whole line
    const bool large = is_large(nullptr, n * (written(operands) + ...)) && (held(operands).fits() && ...);
    parallel_range((n + kUnit - 1) / kUnit, kGrain / kUnit, [=](Index begin, Index end) {
        Index first = begin * kUnit;
        const Index last = end * kUnit < n ? end * kUnit : n;
        if (large) first = map_lines(first, last, f, held(operands)...);
        map_block(last - first, f, from(operands, first)...);
        if (large) all_written();
    });
}

// f(j, to[j]...) for n elements, which gives every to[j] its value.
template <typename F, typename... T>
TL_INLINE Index make_lines(Index n, const F& f, Line<T>&&... to) {
    constexpr Index count = line_of<Line<T>...>();
    Index first = 0;
    for (; first + count <= n; first += count) {
        TL_INDEPENDENT
        for (Index j = 0; j < count; ++j) f(first + j, to.values[j]...);
        (to.store(first, count), ...);
    }
    return first;
}
template <typename F, typename... T>
TL_INLINE void make_all(Index n, bool large, const F& f, T*... to) {
    Index first = 0;
    if (large && (Line<T>(to).fits() && ...)) first = make_lines(n, f, Line<T>(to)...);
    TL_INDEPENDENT
    for (Index j = first; j < n; ++j) f(j, to[j]...);
}

TL_INLINE Index quotient(Index a, Index b) { return a / b; }
template <typename T, typename F>
TL_INLINE void each_element(Index rows, Index columns, const F& body) {
    const bool large = is_large(nullptr, rows * columns * sizeof(T));
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) body(r, [&](const auto& f, auto*... to) { make_all(columns, large, f, to...); });
        if (large) all_written();
    });
}
TL_INLINE Index inside(Slot j, Index) { return j; }
TL_INLINE bool is_inside(Slot, Index) { return true; }

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

// The same of a single long row, whose parts are computed side by side.
template <typename A, typename F>
A whole_total(const F& f, Index n) {
    constexpr int kHalvings = 4, kParts = 1 << kHalvings;
    if (n <= kPairwise << (kHalvings + 1)) return row_total<A>(f, 0, n);
    A parts[kParts];
    parallel_range(kParts, 1, [&](Index begin, Index end) {
        for (Index part = begin; part < end; ++part) {
            Index first = 0, left = n;
            for (int bit = kHalvings - 1; bit >= 0; --bit) {
                const Index half = left / 2 - left / 2 % 8;
                if (part >> bit & 1) first += half, left -= half;
                else left = half;
            }
            parts[part] = row_total<A>(f, first, left);
        }
    });
    for (int count = kParts / 2; count; count /= 2)
        for (int i = 0; i < count; ++i) parts[i] = parts[2 * i] + parts[2 * i + 1];
    return parts[0];
}
#endif

}  // namespace tl
