// map() and teams on the CPU: a team is one thread of the pool, its row lies in the cache.
#pragma once

#include "workspace.h"

namespace tl {

constexpr Index kGrain = 16384;  // elements worth handing to another thread

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

// f(element of each operand...) for all n elements.
template <typename F, typename... Operands>
TL_INLINE void map(Index n, const F& f, Operands... operands) {
    parallel_range(n, kGrain, [=](Index begin, Index end) {
#pragma GCC ivdep
        for (Index i = begin; i < end; ++i) apply(f, lane(operands, i)...);
    });
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

// Sums over the team's rows, one a column.
template <typename A>
struct Sums {
    A* data;
    TL_INLINE A& operator[](Slot j) { return data[j]; }
};

class Team {
    Index first_, last_, columns_;
    mutable void* scratch_ = nullptr;  // for keep(), from the first row that needs it
    mutable size_t scratch_bytes_ = 0;

    struct Iterator {
        Index row;
        Index operator*() const { return row; }
        void operator++() { ++row; }
        bool operator!=(Iterator other) const { return row != other.row; }
    };

  public:
    Team(Index first, Index last, Index columns) : first_(first), last_(last), columns_(columns) {}
    Team(const Team&) = delete;
    ~Team() {
        if (scratch_) BlockCache::of_this_thread().give_back(scratch_, scratch_bytes_);
    }

    // The rows of this team: `for (Index row : team)`.
    Iterator begin() const { return {first_}; }
    Iterator end() const { return {last_}; }

    // True in the one lane that writes what belongs to the row as a whole.
    bool leader() const { return true; }

    template <typename T>
    TL_INLINE Row<T> row(const T* data) const {
        return {data};
    }

    template <typename T>
    TL_INLINE OptionalRow<T> row_or(const T* data, Acc<T> otherwise) const {
        return {data, columns_, otherwise};
    }

    // f(j) for the whole row, computed once where the team has room for it. One such row at a time.
    template <typename F>
    TL_INLINE auto keep(const F& f) const {
        using A = std::decay_t<decltype(f(Slot()))>;
        if (!scratch_) {
            scratch_bytes_ = columns_ * sizeof(A) + 1;
            scratch_ = BlockCache::of_this_thread().take(scratch_bytes_);
        }
        A* kept = static_cast<A*>(scratch_);
        store(kept, f);
        return Row<A>{kept};
    }

    // The same team at work on a row of another length.
    Team over(Index columns) const { return {first_, last_, columns}; }

    template <typename F>
    TL_INLINE void each(const F& f) const {
#pragma GCC ivdep
        for (Index j = 0; j < columns_; ++j) f(j);
    }

    // to[j] = f(j) for the whole row.
    template <typename T, typename F>
    TL_INLINE void store(T* __restrict__ to, const F& f) const {
#pragma GCC ivdep
        for (Index j = 0; j < columns_; ++j) to[j] = T(f(j));
    }

    // Both halves of the row at once: one chain of additions would wait for each to finish.
    template <typename F>
    TL_INLINE auto sum(const F& f) const {
        std::decay_t<decltype(f(Slot()))> low = 0, high = 0;
        const Index half = columns_ / 2;
#pragma omp simd reduction(+ : low, high)
        for (Index j = 0; j < half; ++j) low += f(j), high += f(j + half);
        if (columns_ % 2) low += f(columns_ - 1);
        return low + high;
    }

    template <typename F>
    TL_INLINE auto max(const F& f) const {
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

// body(team) for teams that together cover rows 0 … n-1 of `columns` elements of type T.
template <typename T, typename F>
TL_INLINE void each_team(Index n, Index columns, const F& body) {
    const Index grain = columns < kGrain ? (kGrain + columns) / (columns + 1) : 1;
    parallel_range(n, grain, [=](Index first, Index last) { body(Team(first, last, columns)); });
}

}  // namespace tl
