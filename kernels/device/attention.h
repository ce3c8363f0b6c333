// Attention by tiles on tensor cores (Dao 2023, arXiv:2307.08691): what attention.cu computes. A warp
// has 16 rows of its own and passes over tiles of the other side's rows in shared memory, the next of
// which is on its way meanwhile. Scores stay in the registers in which the tensor cores leave them,
// and are there, rounded, the left operand of the next product.
//
// Most tiles are seen by all of the block's rows, and are quick: a score is a product times a factor.
// Only where something may be hidden, added or dropped are scores looked at one by one (`careful`).
#pragma once

#include "tiles.h"

namespace tl {

constexpr int kBlock = 64;  // rows of a block, 16 a warp
constexpr float kLog2e = 1.44269504f, kLn2 = 0.693147181f;

// 2^x; of -inf it is 0.
TL_INLINE float power_of_2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// What is said at compile time.
struct True {
    static constexpr bool value = true;
};
struct False {
    static constexpr bool value = false;
};

template <bool first, typename A, typename B>
struct Choice {
    using type = A;
};
template <typename A, typename B>
struct Choice<false, A, B> {
    using type = B;
};
template <bool first, typename A, typename B>
using Either = typename Choice<first, A, B>::type;

// A warp's rows, in each lane its rows g and g + 8.
struct WarpRows {
    int warp, first;  // the first row of the warp in its block; the lane's row g
    TL_INLINE explicit WarpRows(int block)
        : warp((int)threadIdx.x / 32 * 16), first(block + warp + (int)threadIdx.x % 32 / 4) {}
    TL_INLINE int operator[](int half) const { return first + half * 8; }
};

// What may hide, add to or drop a score: of the warp's rows, which are keys or else queries, and of
// the columns from `first` on, which are the others.
template <bool kOfKeys, int n, typename T, typename F>
TL_INLINE void each_pair(Sums16<n>& sums, const WarpRows& rows, int first, const F& f) {
    sums.each([&](float& s, int half, int column, int) {
        const int row = rows[half], other = first + column;
        f(s, kOfKeys ? other : row, kOfKeys ? row : other);
    });
}

// Products become scores in units of log 2.
template <bool kOfKeys, int n, typename T>
TL_INLINE void complete(Sums16<n>& score, const Scoring<T>& scoring, Index head,
                        const WarpRows& rows, int first) {
    const float factor = scoring.scale * kLog2e;
    const int queries = (int)scoring.queries, keys = (int)scoring.keys;
    const Index mask = scoring.mask(head), step = scoring.mask_step();
    each_pair<kOfKeys, n, T>(score, rows, first, [&](float& s, int, int) { s *= factor; });
    if (scoring.bias)
        each_pair<kOfKeys, n, T>(score, rows, first, [&](float& s, int i, int j) {
            if (i < queries && j < keys) s += float(scoring.bias[mask + i * step + j]) * kLog2e;
        });
    if (scoring.allowed)
        each_pair<kOfKeys, n, T>(score, rows, first, [&](float& s, int i, int j) {
            if (i < queries && j < keys && !scoring.allowed[mask + i * step + j]) s = -INFINITY;
        });
    each_pair<kOfKeys, n, T>(score, rows, first, [&](float& s, int i, int j) {
        if (j >= keys || (scoring.causal && j > i)) s = -INFINITY;
    });
}

// Of two words, a lane with this bit gives the first and takes it from its neighbour; the neighbour
// does so with the second.
TL_INLINE void trade(uint32_t& a, uint32_t& b, int bit) {
    const bool set = threadIdx.x & bit;
    const uint32_t got = __shfl_xor_sync(0xffffffffu, set ? a : b, bit);
    (set ? a : b) = got;
}

// Which of a lane's weights are kept: bit 4 j + i is of part[j][i]. A block of random words is of one
// query and four keys, which are two lanes' columns, or a row of four lanes': each lane draws some
// blocks, and they trade words.
template <bool kOfKeys, int n>
TL_INLINE uint32_t kept_weights(const Dropout<float>& dropout, Index first_row, const WarpRows& rows,
                                int first) {
    if (!dropout.drops()) return 0xffffffffu;
    const int t = threadIdx.x % 4, mine = threadIdx.x / 4 % 4;
    uint32_t kept = 0;
#pragma unroll 1
    for (int j = 0; j < n / 8; ++j) {
        uint32_t word[4];
        if constexpr (kOfKeys) {  // a lane draws the block of one of the four sums
            const int query = first + j * 8 + t * 2 + mine % 2;
            dropout.draw(dropout.block(first_row + query, rows[mine / 2]), word);
            trade(word[0], word[1], 4), trade(word[2], word[3], 4);
            trade(word[0], word[2], 8), trade(word[1], word[3], 8);
        } else {  // the lane of the left columns draws row g's, the other row g + 8's
            dropout.draw(dropout.block(first_row + rows[t % 2], first + j * 8 + t / 2 * 4), word);
            trade(word[0], word[2], 1), trade(word[1], word[3], 1);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) kept |= (uint32_t)dropout.keeps(word[i]) << (4 * j + i);
    }
    return kept;
}

// The online softmax of a lane's two rows (Milakov and Gimelshein 2018, arXiv:1805.02867): over the
// scores so far, the largest and the sum of the weights exp(score - peak). Where a tile has a larger
// score, what was added up before shrinks.
struct OnlineSoftmax {
    float peak[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};  // scores in units of log 2

    // A tile's scores, `factor` times what is given, become weights; `out` is the weighted sum so far.
    template <int kScores, int kDims>
    TL_INLINE void take(Sums16<kScores>& score, float factor, Sums16<kDims>& out) {
        float highest[2] = {-INFINITY, -INFINITY}, shift[2], shrink[2];
        score.each([&](float& s, int half, int, int) { highest[half] = fmaxf(highest[half], s); });
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float now = fmaxf(peak[half], row_max(highest[half]) * factor);
            shift[half] = now == -INFINITY ? 0.0f : now;
            shrink[half] = power_of_2(peak[half] - shift[half]);
            total[half] *= shrink[half], peak[half] = now;
        }
        out.each([&](float& sum, int half, int, int) { sum *= shrink[half]; });
        score.each([&](float& s, int half, int, int) {
            s = power_of_2(s * factor - shift[half]);
            total[half] += s;
        });
    }
};

// y = softmax(scores) v.
template <int kDims, typename T>
TL_INLINE void attend(const Scoring<T>& scoring, const Dropout<float>& dropout, Heads<const T> q,
                      Heads<const T> k, Heads<const T> v, Heads<T> y, float* lse, int dim) {
    constexpr int kTile = 8192 / (kDims * sizeof(T));  // two pairs of keys and values fill 32 KB
    __shared__ __align__(16) Tile<T, 4 * kTile, kDims> memory;
    const uint32_t base = shared_address(&memory);
    const int queries = (int)scoring.queries;
    const uint32_t blocks = (uint32_t)(queries + kBlock - 1) / kBlock, head = blockIdx.x / blocks;
    // Under a causal mask later queries have more to do: they come first.
    const int block = (int)(blocks - 1 - blockIdx.x % blocks) * kBlock;
    const WarpRows mine(block);
    const int last = block + kBlock < queries ? block + kBlock : queries;
    const int end = (int)scoring.limit(last - 1);
    const bool quick = !scoring.bias && !scoring.allowed && scoring.scale >= 0 && !dropout.drops();
    const int seen = quick ? (int)scoring.limit(block) / kTile * kTile : 0;  // by all queries

    // Queries are held in registers, of long ones the first half.
    constexpr bool kLong = kDims > 128;
    constexpr int kNear = kLong ? kDims / 2 : kDims;
    __shared__ __align__(16) Tile<T, kLong ? kBlock : 1, kNear> further;
    const Rows<const T> of_q = q.of(head);
    TileRows<T, kNear>(of_q, block, queries, dim).template copy<kBlock>(base);
    if constexpr (kLong) {
        const Rows<const T> halves{of_q.data + kNear, of_q.stride};
        TileRows<T, kNear>(halves, block, queries, dim - kNear).template copy<kBlock>(shared_address(&further));
    }
    end_batch();
    arrived<0>();
    const Left<T, kNear> query(LeftInMemory<T, kNear>(base, mine.warp));
    const LeftInMemory<T, kNear> rest(shared_address(&further), mine.warp);
    __syncthreads();  // the queries' place is the keys' now

    const Index serving = (uint32_t)head / (uint32_t)scoring.sharing();
    TilePairs<T, kDims, kTile> pairs(base, k.of(serving), v.of(serving), 0, end, dim);
    OnlineSoftmax softmax;
    Sums16<kDims> out;
    out.clear();
    auto visit = [&](int first, auto careful) {
        pairs.arrive(first + kTile < end);
        Sums16<kTile> score;
        score.clear();
        score.template add_transposed<0>(query, pairs.tile);
        if constexpr (kLong) score.template add_transposed<0, kNear>(rest, pairs.tile);
        float factor = scoring.scale * kLog2e;
        if constexpr (careful.value) {
            complete<false>(score, scoring, head, mine, first);
            factor = 1;
        }
        softmax.take(score, factor, out);
        if constexpr (careful.value) {
            const uint32_t kept = kept_weights<false, kTile>(dropout, (Index)head * queries, mine, first);
            score.each([&](float& s, int half, int, int c) {
                if (!(kept >> (c / 2 * 4 + half * 2 + c % 2) & 1)) s = 0;
            });
        }
        out.template add<kTile>(score.template as_left<T>(), pairs.tile);
        pairs.go_on();
    };
    int first = 0;
    for (; first < seen; first += kTile) visit(first, False());
    for (; first < end; first += kTile) visit(first, True());

    T* row[2];
    float scale[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int i = mine[half];
        const float total = row_total(softmax.total[half]);
        scale[half] = total == 0 ? 0.0f : (dropout.drops() ? dropout.scale : 1.0f) / total;
        row[half] = i < queries ? y.of(head)[i] : nullptr;
        if (i < queries && threadIdx.x % 4 == 0)
            lse[(Index)head * queries + i] = total == 0 ? INFINITY : softmax.peak[half] * kLn2 + log(total);
    }
    out.write(row[0], row[1], dim, scale[0], scale[1]);
}

// The gradients take two passes, one a query and one a key: scores are computed twice, and nothing is
// added up in memory, so that the bits are always the same. Of a query the pass over keys needs
//     level = log sum exp of its scores, in units of log 2;    mean = g · y = Σ weight (g · v)
// which the pass over queries leaves to it.
struct __align__(8) Level {
    float level, mean;
};

template <typename T>
struct __align__(16) Packed {
    T element[kInPack<T>];
};

// g · y of a warp's rows, two lanes a row: lane 2 i gets row i's.
template <typename T>
TL_INLINE float mean_of_row(Rows<const T> g, Rows<const T> y, int row, int count, int dim) {
    float sum = 0;
    if (row < count)
        for (int d = (int)threadIdx.x % 2 * kInPack<T>; d < dim; d += 2 * kInPack<T>) {
            const Packed<T> a = *(const Packed<T>*)(g[row] + d);
            const Packed<T> b = *(const Packed<T>*)(y[row] + d);
#pragma unroll
            for (int e = 0; e < kInPack<T>; ++e) sum += float(a.element[e]) * float(b.element[e]);
        }
    return sum + __shfl_xor_sync(0xffffffffu, sum, 1);
}

// A pass has rows a and b of its own, and goes over the other side's, which are A and B:
//     over queries  a = q, b = g, A = k, B = v;    over keys  a = k, b = v, A = q, B = g
//     weight = 2^(scale a · A - level)             slope = weight (b · B - mean)
//     da += scale slope · A                        and over keys  db += weight · B
// Over queries a and b stay in registers if they fit, over keys, where there are two sums, in memory.
template <bool kOfKeys, int kDims, typename T>
struct Pass {
    static constexpr bool kInMemory = kOfKeys || kDims * sizeof(T) > 256;
    static constexpr int kTile = kInMemory && kDims * sizeof(T) > 128 ? 16 : 32;
    static constexpr int kOwn = kInMemory ? 2 * kBlock : 0;  // rows that stay there
    static constexpr int kRow = kDims * sizeof(T);
    using Memory = Tile<T, kOwn + 4 * kTile, kDims>;  // twice a tile of A and one of B
    using Own = Either<kInMemory, LeftInMemory<T, kDims>, Left<T, kDims>>;

    const Scoring<T>& scoring;
    const Dropout<float>& dropout;
    const WarpRows mine;
    Level own[2];  // over queries
    Sums16<kDims> to_a, to_b;

    TL_INLINE Pass(const Scoring<T>& scoring, const Dropout<float>& dropout, int block)
        : scoring(scoring), dropout(dropout), mine(block) {
        to_a.clear(), to_b.clear();
    }

    // One tile: A, and B behind it, their rows from `first` on.
    template <bool kCareful>
    TL_INLINE void visit(const Own& a, const Own& b, const Reader<T, kDims>& tile,
                         const Level* levels, Index head, int first) {
        Sums16<kTile> score, slope;
        score.clear(), slope.clear();
        score.template add_transposed<0>(a, tile);
        slope.template add_transposed<kTile>(b, tile);
        float factor = scoring.scale * kLog2e;
        uint32_t kept = 0xffffffffu;
        if constexpr (kCareful) {
            complete<kOfKeys>(score, scoring, head, mine, first);
            factor = 1;
            kept = kept_weights<kOfKeys, kTile>(dropout, head * scoring.queries, mine, first);
        }
        Level others[kTile / 4];  // over keys
        if constexpr (kOfKeys) {
            const int row = first + (int)threadIdx.x % 4 * 2, left = (int)scoring.queries - row;
            const Level* of_lane = levels + row;
#pragma unroll
            for (int c = 0; c < kTile / 4; ++c) {
                const int i = c / 2 * 8 + c % 2;
                others[c] = i < left ? of_lane[i] : Level{0, 0};
            }
        }
#pragma unroll
        for (int j = 0; j < kTile / 8; ++j) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const Level& of = kOfKeys ? others[j * 2 + i % 2] : own[i / 2];
                float &weight = score.part[j][i], &s = slope.part[j][i];
                weight = power_of_2(weight * factor - of.level);
                if constexpr (kCareful) {
                    const bool stays = kept >> (4 * j + i) & 1;
                    s = weight * ((stays ? s * dropout.scale : 0.0f) - of.mean);
                    weight = stays ? weight : 0.0f;
                } else {
                    s = weight * (s - of.mean);
                }
            }
        }
        if constexpr (kOfKeys) to_b.template add<kTile>(score.template as_left<T>(), tile);
        to_a.template add<0>(slope.template as_left<T>(), tile);
    }

    TL_INLINE void write(const Sums16<kDims>& sums, Rows<T> to, int count, int dim, float factor) const {
        T* row0 = mine[0] < count ? to[mine[0]] : nullptr;
        T* row8 = mine[1] < count ? to[mine[1]] : nullptr;
        sums.write(row0, row8, dim, factor, factor);
    }
};

// Whether tiles that all rows see are quick.
template <typename T>
TL_INLINE bool quick(const Scoring<T>& scoring, const Dropout<float>& dropout) {
    return !scoring.bias && !scoring.allowed && !dropout.drops();
}

template <int kDims, typename T>
TL_INLINE void pass_over_queries(const Scoring<T>& scoring, const Dropout<float>& dropout, Heads<const T> g,
                                 Heads<const T> q, Heads<const T> k, Heads<const T> v,
                                 Heads<const T> y, const float* lse, Heads<T> dq, Level* levels,
                                 int dim) {
    using Over = Pass<false, kDims, T>;
    constexpr int kTile = Over::kTile, kTiles = Over::kOwn * Over::kRow;  // where tiles begin
    auto& memory = in_shared_memory<typename Over::Memory>();
    const uint32_t base = shared_address(&memory);
    const int queries = (int)scoring.queries;
    const uint32_t blocks = (uint32_t)(queries + kBlock - 1) / kBlock, head = blockIdx.x / blocks;
    const int block = (int)(blocks - 1 - blockIdx.x % blocks) * kBlock;
    const int last = block + kBlock < queries ? block + kBlock : queries;
    const int end = (int)scoring.limit(last - 1);
    const int seen = quick(scoring, dropout) ? (int)scoring.limit(block) / kTile * kTile : 0;
    Over pass(scoring, dropout, block);
    const Rows<const T> of_q = q.of(head), of_g = g.of(head);
    TileRows<T, kDims>(of_q, block, queries, dim).template copy<kBlock>(base);
    TileRows<T, kDims>(of_g, block, queries, dim).template copy<kBlock>(base + kBlock * kDims * (int)sizeof(T));
    end_batch();

    const int lane = threadIdx.x % 32, row = block + pass.mine.warp + lane / 2;
    const float mean = mean_of_row(of_g, y.of(head), row, queries, dim);
    const float level = row < queries ? lse[(Index)head * queries + row] * kLog2e : 0.0f;
    if (row < queries && lane % 2 == 0) levels[(Index)head * queries + row] = Level{level, mean};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int from = (lane / 4 + half * 8) * 2;
        pass.own[half].level = __shfl_sync(0xffffffffu, level, from);
        pass.own[half].mean = __shfl_sync(0xffffffffu, mean, from);
    }
    arrived<0>();
    const LeftInMemory<T, kDims> rows(base, pass.mine.warp);
    const typename Over::Own a(rows), b(rows.further(kBlock));
    __syncthreads();

    const Index serving = head / (uint32_t)scoring.sharing();
    TilePairs<T, kDims, kTile> pairs(base + kTiles, k.of(serving), v.of(serving), 0, end, dim);
    int first = 0;
    auto visit = [&](auto careful) {
        pairs.arrive(first + kTile < end);
        pass.template visit<careful.value>(a, b, pairs.tile, nullptr, head, first);
        pairs.go_on();
    };
    for (; first < seen; first += kTile) visit(False());
    for (; first < end; first += kTile) visit(True());
    pass.write(pass.to_a, dq.of(head), queries, dim, scoring.scale);
}

template <int kDims, typename T>
TL_INLINE void pass_over_keys(const Scoring<T>& scoring, const Dropout<float>& dropout, Heads<const T> g,
                              Heads<const T> q, Heads<const T> k, Heads<const T> v,
                              const Level* levels, Heads<T> dk, Heads<T> dv, int dim) {
    using Over = Pass<true, kDims, T>;
    constexpr int kTile = Over::kTile, kTiles = Over::kOwn * Over::kRow;  // where tiles begin
    auto& memory = in_shared_memory<typename Over::Memory>();
    const uint32_t base = shared_address(&memory);
    const int queries = (int)scoring.queries, keys = (int)scoring.keys;
    const uint32_t blocks = (uint32_t)(keys + kBlock - 1) / kBlock, serving = blockIdx.x / blocks;
    const int block = (int)(blockIdx.x % blocks) * kBlock;
    Over pass(scoring, dropout, block);
    TileRows<T, kDims>(k.of(serving), block, keys, dim).template copy<kBlock>(base);
    TileRows<T, kDims>(v.of(serving), block, keys, dim).template copy<kBlock>(base + kBlock * kDims * (int)sizeof(T));
    end_batch();
    arrived<0>();
    const LeftInMemory<T, kDims> a(base, pass.mine.warp), b = a.further(kBlock);
    __syncthreads();
    // Queries before the block's first key see none of it, those behind its last one all.
    const int start = scoring.causal ? block : 0;
    int seen = queries;
    if (quick(scoring, dropout)) seen = scoring.causal ? block + kBlock : 0;
    if (seen > queries) seen = queries;

    for (Index head = serving * scoring.sharing(); head < (serving + 1) * scoring.sharing(); ++head) {
        const Level* of_head = levels + head * queries;
        TilePairs<T, kDims, kTile> pairs(base + kTiles, q.of(head), g.of(head), start, queries, dim);
        int first = start;
        auto visit = [&](auto careful) {
            pairs.arrive(first + kTile < queries);
            pass.template visit<careful.value>(a, b, pairs.tile, of_head, head, first);
            pairs.go_on();
        };
        for (; first < seen; first += kTile) visit(True());
        for (; first < queries; first += kTile) visit(False());
        __syncthreads();  // before the next head's tiles
    }
    pass.write(pass.to_a, dk.of(serving), keys, dim, scoring.scale);
    pass.write(pass.to_b, dv.of(serving), keys, dim, dropout.drops() ? dropout.scale : 1.0f);
}

}  // namespace tl
