// map() and teams on the CPU: a team is one thread of the pool, its row lies in the cache.
#pragma once

#include "stream.h"
#include "host/workspace.h"

namespace tl {

// One element of an operand as a variable of type Acc<T>, written back where it is an output.
template <typename T>
struct Lane {
    Acc<T> value;
    TL_INLINE void write_back() const {}
};
template <typename T>
struct OutLane {
    T* target;
    Acc<T> value;
    TL_INLINE void write_back() const { *target = T(value); }
};
template <typename T>
TL_INLINE Lane<T> lane(const T* data, Index i) {
    return {Acc<T>(data[i])};
}
template <typename T>
TL_INLINE OutLane<T> lane(Out<T> operand, Index i) {
    return {operand.data + i, Acc<T>()};
}
template <typename T>
TL_INLINE OutLane<T> lane(InOut<T> operand, Index i) {
    return {operand.data + i, Acc<T>(operand.data[i])};
}

template <typename F, typename... Lanes>
TL_INLINE void apply(const F& f, Lanes... lanes) {
    f(lanes.value...);
    (lanes.write_back(), ...);
}

// The operand from element `first` on; an output where the block is to go.
template <typename T>
TL_INLINE const T* part(const T* data, Index first, void*) {
    return data + first;
}
template <typename T>
TL_INLINE InOut<T> part(InOut<T> operand, Index first, void*) {
    return {operand.data + first};
}
template <typename T>
TL_INLINE Out<T> part(Out<T>, Index, void* block) {
    return {static_cast<T*>(block)};
}

// Where the operands of a map are.
template <typename T>
TL_INLINE void note(Streams& streams, const T* data) {
    streams.input_too = streams.input;
    streams.input = {(char*)data, sizeof(T)};
}
template <typename T>
TL_INLINE void note(Streams&, InOut<T>) {}
template <typename T>
TL_INLINE void note(Streams& streams, Out<T> operand) {
    streams.output = {(char*)operand.data, sizeof(T)};
}

template <typename F, typename... Operands>
TL_INLINE void map_block(Index n, const F& f, Operands... operands) {
    TL_INDEPENDENT
    for (Index i = 0; i < n; ++i) apply(f, lane(operands, i)...);
}

// f(element of each operand...) for all n elements.
template <typename F, typename... Operands>
TL_INLINE void map(Index n, const F& f, Operands... operands) {
    auto make = [=](Index first, Index count, void* block) {
        map_block(count, f, part(operands, first, block)...);
    };
    auto call = [](void* context, Index first, Index count, void* block) {
        (*static_cast<decltype(make)*>(context))(first, count, block);
    };
    Streams streams;
    (note(streams, operands), ...);
    run_blocks(n, streams, call, &make);
}

// f(i) for all n elements, in any order; for what map() cannot say.
template <typename F>
TL_INLINE void each(Index n, const F& f) {
    parallel_range(n, kGrain / 8, [=](Index begin, Index end) {
#pragma omp simd
        for (Index i = begin; i < end; ++i) f(i);
    });
}

// A place in the team's row, and the column it stands for.
using Slot = Index;
TL_INLINE Index column(Slot j) { return j; }

// A row the team reads several times; on the CPU the cache holds it.
template <typename T>
struct Row {
    const T* data;
    TL_INLINE Acc<T> operator[](Slot j) const { return Acc<T>(data[j]); }
};

// A row that may be absent; then it is made up of a constant, which spares every loop a branch.
template <typename T>
class OptionalRow {
    Workspace<T> constant_;
    const T* data_;

  public:
    OptionalRow(const T* data, Index columns, Acc<T> otherwise)
        : constant_(data ? 0 : columns), data_(data ? data : constant_) {
        for (Index j = 0; !data && j < columns; ++j) constant_[j] = T(otherwise);
    }
    TL_INLINE Acc<T> operator[](Slot j) const { return Acc<T>(data_[j]); }
};

// A row the team computed, and its sum.
template <typename A>
struct Kept {
    const A* data;
    A sum;
    TL_INLINE A operator[](Slot j) const { return data[j]; }
};

template <typename A>
struct Powers {
    const A* data;
    A peak, sum;
    TL_INLINE A operator[](Slot j) const { return data[j]; }
};

// Sums over the team's rows, one per column.
template <typename A>
struct Sums {
    A* data;
    TL_INLINE A& operator[](Slot j) { return data[j]; }
};

class Team {
    const Index first_, last_, columns_;
    const Index ahead_;    // elements from a row to the one that is asked for meanwhile
    const bool is_large_;  // what all teams store: it is written past the caches
    mutable Scratch kept_;
    mutable const char *next_ = nullptr, *next_too_ = nullptr;  // two rows that will be read

    template <typename T, typename F>
    TL_INLINE static void put(T* __restrict__ to, Index first, Index count, const F& f) {
        TL_INDEPENDENT
        for (Index j = 0; j < count; ++j) to[j] = T(f(first + j));
    }

    // The whole vectors, each stored as soon as it is made; returns where they end. What is asked for
    // arrives meanwhile: the memory is never without work.
    template <typename T, typename F>
    TL_INLINE Index store_past_caches(T* to, const F& f) const {
        constexpr Index lanes = sizeof(Vector) / sizeof(T);
        Index first = 0;
        for (; first + lanes <= columns_; first += lanes) {
            __builtin_prefetch((const T*)next_ + first);
            __builtin_prefetch((const T*)next_too_ + first);
            alignas(Vector) T made[lanes];
            put(made, first, lanes, f);
            Vector value;
            std::memcpy(&value, made, sizeof value);
            store_past(to + first, value);
        }
        return first;
    }

    struct Iterator {
        Index row;
        Index operator*() const { return row; }
        void operator++() { ++row; }
        bool operator!=(Iterator other) const { return row != other.row; }
    };

  public:
    Team(Index first, Index last, Index columns, Index ahead, bool is_large)
        : first_(first), last_(last), columns_(columns), ahead_(ahead), is_large_(is_large) {}
    Team(const Team&) = delete;
    ~Team() {
        if (is_large_) all_written();
    }

    // Rows behind the functions are for CUDA: what is to be read ahead.

    // The rows of this team: `for (Index row : team)`.
    Iterator begin() const { return {first_}; }
    Iterator end() const { return {last_}; }

    // True in the one lane that writes what belongs to the row as a whole.
    bool leader() const { return true; }

    template <typename T>
    TL_INLINE Row<T> row(const T* data) const {
        next_too_ = next_;
        next_ = (const char*)(data + ahead_);
        return {data};
    }

    // A row that all of the team's rows have in common.
    template <typename T>
    TL_INLINE Row<T> common_row(const T* data) const {
        return {data};
    }

    template <typename T>
    TL_INLINE OptionalRow<T> row_or(const T* data, Acc<T> otherwise) const {
        return {data, columns_, otherwise};
    }

    // f(j) for the whole row and their sum, computed once where the team has room for them. One such
    // row at a time.
    template <typename F, typename... R>
    TL_INLINE auto keep(const F& f, const R&...) const {
        using A = std::decay_t<decltype(f(Slot()))>;
        A* __restrict__ kept = static_cast<A*>(kept_.of(bytes_of(columns_, sizeof(A))));
        auto compute = [&](Index j) { return kept[j] = f(j); };
        const A sum = this->sum(compute);
        return Kept<A>{kept, sum};
    }

    // exp(f - peak) for the whole row, with peak = max f and their sum.
    template <typename F, typename... R>
    TL_INLINE auto powers(const F& f, const R&...) const {
        const auto peak = max(f);
        const auto kept = keep([&](Slot j) { return exp(f(j) - peak); });
        return Powers<std::decay_t<decltype(peak)>>{kept.data, peak, kept.sum};
    }

    template <typename F, typename... R>
    TL_INLINE auto log_sum_exp(const F& f, const R&...) const {
        const auto peak = max(f);
        return peak + log(sum([&](Slot j) { return exp(f(j) - peak); }));
    }

    // The mean of f, and the sum of squared deviations from it.
    template <typename F, typename... R>
    TL_INLINE auto moments(const F& f, const R&...) const {
        using A = std::decay_t<decltype(f(Slot()))>;
        const A mean = sum(f) / A(columns_);
        return Both<A>{mean, sum([&](Slot j) { return (f(j) - mean) * (f(j) - mean); })};
    }

    // The same team at work on a row of another length.
    Team over(Index columns) const { return {first_, last_, columns, 0, false}; }

    template <typename F, typename... R>
    TL_INLINE void each(const F& f, const R&...) const {
        TL_INDEPENDENT
        for (Index j = 0; j < columns_; ++j) f(j);
    }

    // to[j] = f(j) for the whole row.
    template <typename T, typename F, typename... R>
    TL_INLINE void store(T* to, const F& f, const R&...) const {
        const bool past = is_large_ && (uintptr_t)to % sizeof(Vector) == 0;
        const Index first = past ? store_past_caches(to, f) : 0;
        put(to + first, first, columns_ - first, f);
    }

    // Four parts of the row at once: one chain of additions would wait for each to finish.
    template <typename F, typename... R>
    TL_INLINE auto sum(const F& f, const R&...) const {
        std::decay_t<decltype(f(Slot()))> a = 0, b = 0, c = 0, d = 0;
        const Index part = columns_ / 4;
#pragma omp simd reduction(+ : a, b, c, d)
        for (Index j = 0; j < part; ++j) {
            a += f(j), b += f(j + part);
            c += f(j + 2 * part), d += f(j + 3 * part);
        }
        for (Index j = 4 * part; j < columns_; ++j) a += f(j);
        return (a + b) + (c + d);
    }

    // Of f and of g, in one pass.
    template <typename F, typename G, typename... R>
    TL_INLINE auto sums_of(const F& f, const G& g, const R&...) const {
        using A = std::decay_t<decltype(f(Slot()))>;
        A low = 0, high = 0, low_g = 0, high_g = 0;
        const Index half = columns_ / 2;
#pragma omp simd reduction(+ : low, high, low_g, high_g)
        for (Index j = 0; j < half; ++j) {
            low += f(j), high += f(j + half);
            low_g += g(j), high_g += g(j + half);
        }
        if (columns_ % 2) low += f(columns_ - 1), low_g += g(columns_ - 1);
        return Both<A>{low + high, low_g + high_g};
    }

    template <typename F, typename... R>
    TL_INLINE auto max(const F& f, const R&...) const {
        using A = std::decay_t<decltype(f(Slot()))>;
        auto larger = [](A a, A b) { return a > b ? a : b; };
        A low = -INFINITY, high = -INFINITY;
        const Index half = columns_ / 2;
#pragma omp simd reduction(max : low, high)
        for (Index j = 0; j < half; ++j) {
            low = larger(f(j), low);
            high = larger(f(j + half), high);
        }
        if (columns_ % 2) low = larger(f(columns_ - 1), low);
        return larger(low, high);
    }

    template <typename A>
    Sums<A> sums(A* data) const {
        for (Index j = 0; j < columns_; ++j) data[j] = 0;
        return {data};
    }
    template <typename A>
    void finish(const Sums<A>&) const {}
};

// body(team) for teams that together cover rows 0 … n-1 of `columns` elements of type T; `rows` says
// how many they read and store in all, if not n.
template <typename T, typename F>
TL_INLINE void each_team(Index n, Index columns, Index rows, const F& body) {
    const Index elements = rows * columns, grain = n * kGrain / (elements + 1) + 1;
    const bool large = is_large(nullptr, elements * sizeof(T));
    const Index ahead = (kAhead / (columns * sizeof(T) + 1) + 1) * columns;
    parallel_range(n, grain,
                   [=](Index first, Index last) { body(Team(first, last, columns, ahead, large)); });
}
template <typename T, typename F>
TL_INLINE void each_team(Index n, Index columns, const F& body) {
    each_team<T>(n, columns, n, body);
}

}  // namespace tl
