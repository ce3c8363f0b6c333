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

// As one instruction: the compiler would share parts of it with the way for what is not aligned.
template <typename T, int count>
TL_INLINE void write_pack(T* to, const Pack<T, count>& pack) {
    static_assert(sizeof pack == 16, "");
    union {
        Pack<T, count> pack;
        uint32_t words[4];
    } all;
    all.pack = pack;
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(all.words[0]),
                 "r"(all.words[1]), "r"(all.words[2]), "r"(all.words[3])
                 : "memory");
}

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

// A place in the team's row: the column it stands for, and the register of the lane that holds its
// element (-1: none does, because the row is longer than the registers of a block). Of long rows that
// were fetched ahead, register `ahead` holds it for now.
struct Slot {
    Index at;
    int held, ahead;
};
TL_INLINE Index column(Slot j) { return j.at; }

template <typename T, int kHeld>
struct Row {
    const T* data;
    Acc<T> otherwise;  // where there is no row
    mutable Acc<T> held[kHeld];
    mutable bool fetched;

    TL_INLINE Acc<T> operator[](Slot j) const {
        if (j.held >= 0) return held[j.held];
        if (fetched && j.ahead >= 0) return held[j.ahead];
        return data ? Acc<T>(data[j.at]) : otherwise;
    }
    // Some neighbours of a long row, into registers.
    template <int count>
    TL_INLINE void fetch(int first, Index at) const {
        if (data) read<count>(held + first, data + at, is_aligned<T, count>(data + at));
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

// exp(f - peak) over the row, peak = max f, and their sum.
template <typename F, typename A, int kHeld>
struct Powers {
    F f;
    A peak, sum;
    A held[kHeld];
    TL_INLINE A operator[](Slot j) const { return j.held < 0 ? exp(f(j) - peak) : held[j.held]; }
};

template <typename A, int kHeld>
struct Sums {
    A* data;
    A held[kHeld];
    TL_INLINE A& operator[](Slot j) { return j.held < 0 ? data[j.at] : held[j.held]; }
};

// A team whose lanes hold kHeld elements of a row each. Longer rows pass through these registers, in
// reads of 16 bytes (kWide elements) that are all under way before the first is used: of the rows that
// a word is told about behind its functions. Others are read where they are used, one by one.
template <int kHeld, int kWide>
class Team {
    Index rows_, columns_;
    mutable bool sums_ = false;  // of a long row: one lane adds to what another wrote

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
        return row_or(data, Acc<T>(0));
    }
    template <typename T>
    TL_INLINE Row<T, kHeld> common_row(const T* data) const {
        return row_or(data, Acc<T>(0));
    }
    template <typename T>
    TL_INLINE Row<T, kHeld> row_or(const T* data, Acc<T> otherwise) const {
        Row<T, kHeld> result;
        result.data = data;
        result.otherwise = otherwise;
        result.fetched = false;
        clear(result.held, otherwise);
        if (data) load(result.held, data);
        return result;
    }

    template <typename F, typename... R>
    TL_INLINE auto keep(const F& f, const R&... rows) const {
        Kept<F, decltype(f(Slot())), kHeld> result{f, {}, {}};
        if (holds()) {
#pragma unroll
            for (int k = 0; k < kHeld; ++k) result.held[k] = f(slot(k));
        }
        result.sum = sum([&](Slot j) { return result[j]; }, rows...);
        return result;
    }

    template <typename F, typename... R>
    TL_INLINE auto powers(const F& f, const R&... rows) const {
        using A = decltype(f(Slot()));
        Powers<F, A, kHeld> result{f, {}, {}, {}};
        if (holds()) {
            result.peak = max(f);
#pragma unroll
            for (int k = 0; k < kHeld; ++k) result.held[k] = exp(f(slot(k)) - result.peak);
            result.sum = sum([&](Slot j) { return result[j]; });
        } else {
            const Both<A> found = stream_powers<A>(f, rows...);
            result.peak = found.first, result.sum = found.second;
        }
        return result;
    }

    template <typename F, typename... R>
    TL_INLINE auto log_sum_exp(const F& f, const R&... rows) const {
        using A = decltype(f(Slot()));
        if (holds()) {
            const A peak = max(f);
            return peak + log(sum([&](Slot j) { return exp(f(j) - peak); }));
        }
        const Both<A> found = stream_powers<A>(f, rows...);
        return found.first + log(found.second);
    }

    template <typename F, typename... R>
    TL_INLINE auto moments(const F& f, const R&... rows) const {
        using A = decltype(f(Slot()));
        if (holds()) {
            const A mean = sum(f) / A(columns_);
            return Both<A>{mean, sum([&](Slot j) { return (f(j) - mean) * (f(j) - mean); })};
        }
        return stream_moments<A>(f, rows...);
    }

    template <typename F, typename... R>
    TL_INLINE void each(const F& f, const R&... rows) const {
        if (holds()) {
#pragma unroll
            for (int k = 0; k < kHeld; ++k) {
                const Slot j = slot(k);
                if (j.at < columns_) f(j);
            }
        } else {
            stream(pack_start(rows...), [&](Slot j) { f(j); }, [](int) {}, rows...);
        }
    }

    template <typename T, typename F, typename... R>
    TL_INLINE void store(T* to, const F& f, const R&... rows) const {
        if (!holds()) {
            store_long(to, f, rows...);
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

    template <typename F, typename... R>
    TL_INLINE auto sum(const F& f, const R&... rows) const {
        return reduce(f, Plus(), decltype(f(Slot()))(0), rows...);
    }

    template <typename F, typename G, typename... R>
    TL_INLINE auto sums_of(const F& f, const G& g, const R&... rows) const {
        using A = decltype(f(Slot()));
        if (holds()) return Both<A>{sum(f), sum(g)};
        A first = 0, second = 0;
        auto add = [&](Slot j) { first += f(j), second += g(j); };
        stream(pack_start(rows...), add, [](int) {}, rows...);
        return Both<A>{over_lanes(first, Plus()), over_lanes(second, Plus())};
    }

    template <typename F, typename... R>
    TL_INLINE auto max(const F& f, const R&... rows) const {
        return reduce(f, Larger(), decltype(f(Slot()))(-INFINITY), rows...);
    }

    template <typename A>
    TL_INLINE Sums<A, kHeld> sums(A* data) const {
        Sums<A, kHeld> result;
        result.data = data;
        clear(result.held, A(0));
        if (!holds()) {
            for (Index j = threadIdx.x; j < columns_; j += blockDim.x) data[j] = 0;
            sums_ = true;
        }
        return result;
    }
    template <typename A>
    TL_INLINE void finish(const Sums<A, kHeld>& sums) const {
        if (holds()) store(sums.data, [&](Slot j) { return sums.held[j.held]; });
    }

  private:
    struct Plus {
        template <typename A>
        TL_INLINE A operator()(A a, A b) const {
            return a + b;
        }
    };
    struct Larger {
        template <typename A>
        TL_INLINE A operator()(A a, A b) const {
            return a > b ? a : b;
        }
    };

    TL_INLINE bool holds() const { return columns_ <= (Index)blockDim.x * kHeld; }

    // The k-th place of this lane: packs of neighbours, a team's width apart.
    TL_INLINE Slot slot(int k) const {
        return {(Index)((k / kPack * blockDim.x + threadIdx.x) * kPack + k % kPack), k, -1};
    }

    // ---- rows that are too long to hold ---------------------------------------------------------

    // Elements before the first multiple of 16 bytes.
    template <typename T>
    TL_INLINE static Index before_pack(const T* data) {
        return (uint32_t)(-(uint64_t)data % 16) / (uint32_t)sizeof(T);
    }
    TL_INLINE static Index pack_start() { return 0; }
    template <typename T, typename... More>
    TL_INLINE static Index pack_start(const Row<T, kHeld>& row, const More&... more) {
        return row.data ? before_pack(row.data) : pack_start(more...);
    }

    // For all columns: f(slot) for as many as the registers hold, then done(how many). Packs begin
    // at `head`; what lies before and behind them comes last, a column per lane.
    template <typename F, typename Done, typename... R>
    TL_INLINE void stream(Index head, const F& f, const Done& done, const R&... rows) const {
        constexpr int packs = kHeld / kWide;
        if (sums_) __syncthreads();
        head = head < columns_ ? head : columns_;
        const Index end = head + (columns_ - head) / kWide * kWide, step = (Index)blockDim.x * kWide;
        for (Index start = head + (Index)threadIdx.x * kWide; start < end; start += packs * step) {
#pragma unroll
            for (int p = 0; p < packs; ++p)
                if (start + p * step < end)
                    (rows.template fetch<kWide>(p * kWide, start + p * step), ...);
            ((rows.fetched = true), ...);
#pragma unroll
            for (int p = 0; p < packs; ++p)
                if (start + p * step < end) {
#pragma unroll
                    for (int e = 0; e < kWide; ++e)
                        f(Slot{start + p * step + e, -1, p * kWide + e});
                    done(p);
                }
            ((rows.fetched = false), ...);
        }
        const Index left = columns_ - (end - head);
        for (Index i = threadIdx.x; i < left; i += blockDim.x)
            f(Slot{i < head ? i : i + (end - head), -1, -1});
    }

    template <typename T, typename F, typename... R>
    TL_INLINE void store_long(T* to, const F& f, const R&... rows) const {
        constexpr int wide = 16 / sizeof(T);
        Pack<T, wide> pack[kWide * sizeof(T) > 16 ? kWide / wide : 1];
        Index start = 0;
        auto make = [&](Slot j) {
            const T value = T(f(j));
            if (j.ahead < 0) {
                to[j.at] = value;
            } else {
                const int e = j.ahead % kWide;
                pack[e / wide].element[e % wide] = value;
                start = j.at - j.ahead % kWide;
            }
        };
        auto put = [&](int) {
            if (kWide % wide == 0 && is_aligned<T, wide>(to + start)) {
#pragma unroll
                for (int e = 0; e < kWide; e += wide) write_pack(to + start + e, pack[e / wide]);
            } else {
#pragma unroll
                for (int e = 0; e < kWide; ++e) to[start + e] = pack[e / wide].element[e % wide];
            }
        };
        stream(before_pack(to), make, put, rows...);
    }

    // The peak of f and the sum of exp(f - peak) in one pass: a sum so far is worth exp(old - new)
    // when a larger value turns up (Milakov and Gimelshein 2018, arXiv:1805.02867).
    template <typename A, typename F, typename... R>
    TL_INLINE Both<A> stream_powers(const F& f, const R&... rows) const {
        A peak = -INFINITY, sum = 0, value[kWide];
        auto join = [&](int count) {
            A higher = peak;
#pragma unroll
            for (int e = 0; e < count; ++e) higher = value[e] > higher ? value[e] : higher;
            const A shift = higher == -INFINITY ? A(0) : higher;
            sum *= exp(peak - shift);
#pragma unroll
            for (int e = 0; e < count; ++e) sum += exp(value[e] - shift);
            peak = higher;
        };
        auto take = [&](Slot j) {
            value[j.ahead < 0 ? 0 : j.ahead % kWide] = f(j);
            if (j.ahead < 0) join(1);
        };
        stream(pack_start(rows...), take, [&](int) { join(kWide); }, rows...);
        const A highest = over_lanes(peak, Larger());
        const A shift = highest == -INFINITY ? A(0) : highest;
        return {highest, over_lanes(sum * exp(peak - shift), Plus())};
    }

    // The mean of f and the sum of squared deviations from it in one pass: each lane joins packs of
    // its own, then the lanes are joined (Chan, Golub and LeVeque 1983).
    template <typename A, typename F, typename... R>
    TL_INLINE Both<A> stream_moments(const F& f, const R&... rows) const {
        A seen = 0, mean = 0, squares = 0, value[kWide];
        auto join = [&](int count) {
            A center = 0, spread = 0;
#pragma unroll
            for (int e = 0; e < count; ++e) center += value[e];
            center *= A(1) / A(count);
#pragma unroll
            for (int e = 0; e < count; ++e) spread += (value[e] - center) * (value[e] - center);
            const A off = center - mean, share = A(count) / (seen + A(count));
            squares += spread + off * off * seen * share;
            mean += off * share;
            seen += A(count);
        };
        auto take = [&](Slot j) {
            value[j.ahead < 0 ? 0 : j.ahead % kWide] = f(j);
            if (j.ahead < 0) join(1);
        };
        stream(pack_start(rows...), take, [&](int) { join(kWide); }, rows...);
        const A all = over_lanes(seen * mean, Plus()) / A(columns_);
        return {all, over_lanes(squares + seen * (mean - all) * (mean - all), Plus())};
    }

    // ---- rows that are held, and what both share ------------------------------------------------

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

    template <typename F, typename Op, typename A, typename... R>
    TL_INLINE A reduce(const F& f, const Op& op, A value, const R&... rows) const {
        if (holds()) {
            const A neutral = value;
#pragma unroll
            for (int k = 0; k < kHeld; ++k) {
                const Slot j = slot(k);
                const A term = f(j);  // of what is held, also beyond the row: no branch
                value = op(j.at < columns_ ? term : neutral, value);
            }
        } else {
            stream(pack_start(rows...), [&](Slot j) { value = op(f(j), value); }, [](int) {}, rows...);
        }
        return over_lanes(value, op);
    }

    // Every lane gets the same bits. Teams of more than a warp have a block to themselves.
    template <typename A, typename Op>
    TL_INLINE static A over_lanes(A value, const Op& op) {
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
    body(Team<kHeldOf<T>, 16 / sizeof(T)>(n, columns));
}
template <typename T, typename F>
TL_INLINE void each_team(Index n, Index columns, Index, const F& body) {
    each_team<T>(n, columns, body);
}

}  // namespace tl
