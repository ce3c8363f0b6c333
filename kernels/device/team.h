// map() and teams on CUDA: a team is a warp or a block, its row lies in registers.
#pragma once

namespace tl {

// Elements of a row that a lane holds: 8192 for a block of 512, 1024 doubles for one of 256.
template <typename T>
constexpr int kHeldOf = sizeof(T) == 8 ? 4 : 16;
constexpr int kPack = 4;  // of which so many are neighbours, moved by one instruction

// Neighbouring elements, moved in units of up to 16 bytes.
template <typename T, int count>
struct alignas(sizeof(T) * count < 16 ? sizeof(T) * count : 16) Pack {
    T element[count];
};

template <typename T, int count>
TL_INLINE bool is_aligned(const T* data) {
    return (uint64_t)data % alignof(Pack<T, count>) == 0;
}

// ---- map: `count` neighbouring elements of an operand as variables of type Acc<T> ---------------

template <typename T, int count>
struct Lanes {
    Acc<T> value[count];
    TL_INLINE void write_back(bool) const {}
};
template <typename T, int count>
struct OutLanes {
    T* target;
    Acc<T> value[count];
    TL_INLINE void write_back(bool aligned) const {
        Pack<T, count> pack;
#pragma unroll
        for (int k = 0; k < count; ++k) pack.element[k] = T(value[k]);
        if (aligned) {
            *(Pack<T, count>*)target = pack;
        } else {
#pragma unroll
            for (int k = 0; k < count; ++k) target[k] = pack.element[k];
        }
    }
};

template <int count, typename T>
TL_INLINE void read(Acc<T>* value, const T* data, bool aligned) {
    if (aligned) {
        const Pack<T, count> pack = *(const Pack<T, count>*)data;
#pragma unroll
        for (int k = 0; k < count; ++k) value[k] = Acc<T>(pack.element[k]);
    } else {
#pragma unroll
        for (int k = 0; k < count; ++k) value[k] = Acc<T>(data[k]);
    }
}

template <int count, typename T>
TL_INLINE Lanes<T, count> lanes(const T* data, Index i, bool aligned) {
    Lanes<T, count> result;
    read<count>(result.value, data + i, aligned);
    return result;
}
template <int count, typename T>
TL_INLINE OutLanes<T, count> lanes(Out<T> operand, Index i, bool) {
    return {operand.data + i, {}};
}
template <int count, typename T>
TL_INLINE OutLanes<T, count> lanes(InOut<T> operand, Index i, bool aligned) {
    OutLanes<T, count> result;
    result.target = operand.data + i;
    read<count>(result.value, operand.data + i, aligned);
    return result;
}

template <int count, typename F, typename... L>
TL_INLINE void apply(const F& f, bool aligned, L... lanes) {
#pragma unroll
    for (int k = 0; k < count; ++k) f(lanes.value[k]...);
    (lanes.write_back(aligned), ...);
}

template <int count, typename T>
TL_INLINE bool in_packs(const T* data) {
    return is_aligned<T, count>(data);
}
template <int count, typename T>
TL_INLINE bool in_packs(Out<T> operand) {
    return is_aligned<T, count>(operand.data);
}
template <int count, typename T>
TL_INLINE bool in_packs(InOut<T> operand) {
    return is_aligned<T, count>(operand.data);
}

template <typename Operand>
constexpr int element_size = 0;
template <typename T>
constexpr int element_size<const T*> = sizeof(T);
template <typename T>
constexpr int element_size<Out<T>> = sizeof(T);
template <typename T>
constexpr int element_size<InOut<T>> = sizeof(T);

constexpr int smallest(int size) { return size; }
template <typename... More>
constexpr int smallest(int size, int next, More... more) {
    return smallest(size < next ? size : next, more...);
}

TL_INLINE Index lane_index() { return (Index)blockIdx.x * blockDim.x + threadIdx.x; }
TL_INLINE Index lane_count() { return (Index)gridDim.x * blockDim.x; }

// f(element of each operand...) for all n elements.
template <typename F, typename... Operands>
TL_INLINE void map(Index n, const F& f, Operands... operands) {
    constexpr int count = 16 / smallest(element_size<Operands>...);
    const bool aligned = (in_packs<count>(operands) && ...);
    const Index whole = n / count;
    for (Index i = lane_index(); i < whole; i += lane_count())
        apply<count>(f, aligned, lanes<count>(operands, i * count, aligned)...);
    const Index i = whole * count + lane_index();
    if (i < n) apply<1>(f, true, lanes<1>(operands, i, true)...);
}

// f(i) for all n elements, in any order; for what map() cannot say.
template <typename F>
TL_INLINE void each(Index n, const F& f) {
    for (Index i = lane_index(); i < n; i += lane_count()) f(i);
}

// ---- teams --------------------------------------------------------------------------------------

// A place in the team's row: the column it stands for, and where the lane holds it (-1: it does not,
// because the row is longer than the registers of a block).
struct Slot {
    Index at;
    int held;
};
TL_INLINE Index column(Slot j) { return j.at; }

template <typename T, int kHeld>
struct Row {
    const T* data;
    Acc<T> held[kHeld];
    TL_INLINE Acc<T> operator[](Slot j) const { return j.held < 0 ? Acc<T>(data[j.at]) : held[j.held]; }
};

template <typename T, int kHeld>
struct OptionalRow {
    const T* data;
    Acc<T> held[kHeld], otherwise;
    TL_INLINE Acc<T> operator[](Slot j) const {
        return j.held >= 0 ? held[j.held] : data ? Acc<T>(data[j.at]) : otherwise;
    }
};

// The values of f over the row, computed once where they are held, and their sum.
template <typename F, typename A, int kHeld>
struct Kept {
    F f;
    A held[kHeld];
    A sum;
    TL_INLINE A operator[](Slot j) const { return j.held < 0 ? f(j) : held[j.held]; }
};

template <typename A, int kHeld>
struct Sums {
    A* data;
    A held[kHeld];
    TL_INLINE A& operator[](Slot j) { return j.held < 0 ? data[j.at] : held[j.held]; }
};

template <int kHeld>
class Team {
    Index rows_, columns_;

    struct Iterator {
        Index row;
        TL_INLINE Index operator*() const { return row; }
        TL_INLINE void operator++() { row += (Index)gridDim.x * blockDim.y; }
        TL_INLINE bool operator!=(Iterator end) const { return row < end.row; }
    };

  public:
    TL_INLINE Team(Index rows, Index columns) : rows_(rows), columns_(columns) {}

    TL_INLINE Iterator begin() const { return {(Index)blockIdx.x * blockDim.y + threadIdx.y}; }
    TL_INLINE Iterator end() const { return {rows_}; }
    TL_INLINE bool leader() const { return threadIdx.x == 0; }
    TL_INLINE Team over(Index columns) const { return {rows_, columns}; }

    template <typename T>
    TL_INLINE Row<T, kHeld> row(const T* data) const {
        Row<T, kHeld> result;
        result.data = data;
        clear(result.held, Acc<T>(0));
        load(result.held, data);
        return result;
    }

    template <typename T>
    TL_INLINE OptionalRow<T, kHeld> row_or(const T* data, Acc<T> otherwise) const {
        OptionalRow<T, kHeld> result;
        result.data = data;
        result.otherwise = otherwise;
        clear(result.held, otherwise);
        if (data) load(result.held, data);
        return result;
    }

    template <typename F>
    TL_INLINE auto keep(const F& f) const {
        Kept<F, decltype(f(Slot())), kHeld> result{f, {}, {}};
        if (holds()) {
#pragma unroll
            for (int k = 0; k < kHeld; ++k) result.held[k] = f(slot(k));
        }
        result.sum = sum([&](Slot j) { return result[j]; });
        return result;
    }

    template <typename F>
    TL_INLINE void each(const F& f) const {
        if (holds()) {
#pragma unroll
            for (int k = 0; k < kHeld; ++k) {
                const Slot j = slot(k);
                if (j.at < columns_) f(j);
            }
        } else {
            stream(f);
        }
    }

    template <typename T, typename F>
    TL_INLINE void store(T* to, const F& f) const {
        if (!holds()) {
            stream([&](Slot j) { to[j.at] = T(f(j)); });
            return;
        }
        const bool packs = in_packs(to);
#pragma unroll
        for (int k = 0; k < kHeld; k += kPack) {
            const Index start = slot(k).at;
            Pack<T, kPack> pack;
#pragma unroll
            for (int e = 0; e < kPack; ++e) pack.element[e] = T(f(slot(k + e)));
            if (packs) {
                if (start < columns_) *(Pack<T, kPack>*)(to + start) = pack;
            } else {
#pragma unroll
                for (int e = 0; e < kPack; ++e)
                    if (start + e < columns_) to[start + e] = pack.element[e];
            }
        }
    }

    template <typename F>
    TL_INLINE auto sum(const F& f) const {
        return reduce(f, [](auto a, auto b) { return a + b; }, decltype(f(Slot()))(0));
    }

    template <typename F, typename G>
    TL_INLINE auto sum(const F& f, const G& g) const {
        return Both<decltype(f(Slot()))>{sum(f), sum(g)};
    }

    template <typename F>
    TL_INLINE auto max(const F& f) const {
        auto larger = [](auto a, auto b) { return a > b ? a : b; };
        return reduce(f, larger, decltype(f(Slot()))(-INFINITY));
    }

    template <typename A>
    TL_INLINE Sums<A, kHeld> sums(A* data) const {
        Sums<A, kHeld> result;
        result.data = data;
        clear(result.held, A(0));
        if (!holds()) stream([&](Slot j) { data[j.at] = 0; });
        return result;
    }
    template <typename A>
    TL_INLINE void finish(const Sums<A, kHeld>& sums) const {
        if (holds()) store(sums.data, [&](Slot j) { return sums.held[j.held]; });
    }

  private:
    TL_INLINE bool holds() const { return columns_ <= (Index)blockDim.x * kHeld; }

    // The k-th place of this lane: packs of neighbours, a team's width apart.
    TL_INLINE Slot slot(int k) const {
        return {(Index)((k / kPack * blockDim.x + threadIdx.x) * kPack + k % kPack), k};
    }

    template <typename F>
    TL_INLINE void stream(const F& f) const {
        for (Index j = threadIdx.x; j < columns_; j += blockDim.x) f(Slot{j, -1});
    }

    template <typename T>
    TL_INLINE bool in_packs(const T* data) const {
        return columns_ % kPack == 0 && is_aligned<T, kPack>(data);
    }

    template <typename A>
    TL_INLINE static void clear(A* held, A value) {
#pragma unroll
        for (int k = 0; k < kHeld; ++k) held[k] = value;
    }

    // Places beyond the row keep what they have.
    template <typename T>
    TL_INLINE void load(Acc<T>* held, const T* data) const {
        if (!holds()) return;
        const bool packs = in_packs(data);
#pragma unroll
        for (int k = 0; k < kHeld; k += kPack) {
            const Index start = slot(k).at;
            if (packs) {
                if (start < columns_) read<kPack>(held + k, data + start, true);
            } else {
#pragma unroll
                for (int e = 0; e < kPack; ++e)
                    if (start + e < columns_) held[k + e] = Acc<T>(data[start + e]);
            }
        }
    }

    // Every lane gets the same bits. Teams of more than a warp have a block to themselves.
    template <typename F, typename Op, typename A>
    TL_INLINE A reduce(const F& f, const Op& op, A value) const {
        if (holds()) {
            const A neutral = value;
#pragma unroll
            for (int k = 0; k < kHeld; ++k) {
                const Slot j = slot(k);
                const A term = f(j);  // of what is held, also beyond the row: no branch
                value = op(j.at < columns_ ? term : neutral, value);
            }
        } else {
            stream([&](Slot j) { value = op(f(j), value); });
        }
#pragma unroll
        for (int offset = 16; offset; offset /= 2)
            value = op(value, __shfl_xor_sync(0xffffffffu, value, offset));
        return blockDim.x <= 32 ? value : over_warps(value, op);
    }

    template <typename A, typename Op>
    TL_INLINE static A over_warps(A value, const Op& op) {
        __shared__ A of_lane[512];
        of_lane[threadIdx.x] = value;  // the lanes of a warp agree: all write, which spares a branch
        __syncthreads();
        value = of_lane[0];
        for (unsigned lane = 32; lane < blockDim.x; lane += 32) value = op(value, of_lane[lane]);
        __syncthreads();  // all have read before the next reduction writes
        return value;
    }
};

template <typename T, typename F>
TL_INLINE void each_team(Index n, Index columns, const F& body) {
    body(Team<kHeldOf<T>>(n, columns));
}
template <typename T, typename F>
TL_INLINE void each_team(Index n, Index columns, Index, const F& body) {
    each_team<T>(n, columns, body);
}

}  // namespace tl
