// LSTM and GRU over a sequence, and their gradients; torch's order of gates and formulas.
//
// The caller computes the input's part of all gates as one product, x W_ihᵀ + b_ih, `projected`
// (steps, batch, gates · hidden); the kernels add the state's part and leave the gates' values in
// `gates` for the gradient. `h` and `c` are (steps + 1, batch, hidden): the initial state stands in
// front, or at the end where the sequence is read in reverse. On the CPU the whole sequence is one
// call; on CUDA a cell is a kernel between products. `gates` may be the array `projected`, and in the
// backward pass `dgates` the array `gates`: every element is read before it is written.
#include "rnn.h"

#if defined(__CUDACC__)
#include "device/divisor.h"
#else
#include <unistd.h>

#include "host/gemm.h"
#endif

namespace tl {

// ---- One step, for a whole batch --------------------------------------------------------------

// body(number of the unit's gates, number of the unit) for all units of all sequences.
template <typename F>
TL_INLINE void each_unit(Index batch, Index hidden, int gates, const F& body) {
#if defined(__CUDACC__)
    each_in_planes(batch, 1, (int)hidden, [=](Index row, int, int unit) {
        body(row * gates * hidden + unit, row * hidden + unit);
    });
#else
    each(batch * hidden, [=](Index at) { body(at / hidden * gates * hidden + at % hidden, at); });
#endif
}

template <typename T>
EACH(batch * hidden)
void lstm_cell(T* gates OF(batch * 4 * hidden), const T* before OF(batch * hidden),
               T* c OF(batch * hidden), T* h OF(batch * hidden), Index batch, Index hidden) {
    using A = Acc<T>;
    each_unit(batch, hidden, 4, [=](Index first, Index at) {
        T* gate = gates + first;
        A value[4], state, out;
        for (int q = 0; q < 4; ++q) value[q] = A(gate[q * hidden]);
        lstm_unit(value[0], value[1], value[2], value[3], A(before[at]), state, out);
        for (int q = 0; q < 4; ++q) gate[q * hidden] = T(value[q]);
        c[at] = T(state), h[at] = T(out);
    });
}

// `gates` holds values on entry, gradients on exit; `dc` the gradient of c on entry, that of c' on
// exit.
template <typename T>
EACH(batch * hidden)
void lstm_cell_backward(T* gates OF(batch * 4 * hidden), const T* before OF(batch * hidden),
                        const T* c OF(batch * hidden), const T* dh OF(batch * hidden),
                        T* dc OF(batch * hidden), Index batch, Index hidden) {
    using A = Acc<T>;
    each_unit(batch, hidden, 4, [=](Index first, Index at) {
        T* gate = gates + first;
        A value[4], carried = dc[at];
        for (int q = 0; q < 4; ++q) value[q] = gate[q * hidden];
        lstm_unit_backward(value[0], value[1], value[2], value[3], A(before[at]), A(c[at]),
                           A(dh[at]), carried);
        for (int q = 0; q < 4; ++q) gate[q * hidden] = T(value[q]);
        dc[at] = T(carried);
    });
}

// `state` holds h' W_hhᵀ + b_hh; its third part is kept as m.
template <typename T>
EACH(batch * hidden)
void gru_cell(T* gates OF(batch * 3 * hidden), const T* state OF(batch * 3 * hidden),
              T* m OF(batch * hidden), const T* before OF(batch * hidden), T* h OF(batch * hidden),
              Index batch, Index hidden) {
    using A = Acc<T>;
    each_unit(batch, hidden, 3, [=](Index first, Index at) {
        A value[3], out;
        for (int q = 0; q < 2; ++q)
            value[q] = A(gates[first + q * hidden]) + A(state[first + q * hidden]);
        value[2] = A(gates[first + 2 * hidden]);
        const A part = A(state[first + 2 * hidden]);
        gru_unit(value[0], value[1], value[2], part, A(before[at]), out);
        for (int q = 0; q < 3; ++q) gates[first + q * hidden] = T(value[q]);
        m[at] = T(part), h[at] = T(out);
    });
}

// `gates` becomes the gradient of the input's part, `dstate` that of the state's; `dh` that of h'
// but for the product dstate W_hh, which the caller adds.
template <typename T>
EACH(batch * hidden)
void gru_cell_backward(T* gates OF(batch * 3 * hidden), const T* m OF(batch * hidden),
                       const T* before OF(batch * hidden), T* dstate OF(batch * 3 * hidden),
                       T* dh OF(batch * hidden), Index batch, Index hidden) {
    using A = Acc<T>;
    each_unit(batch, hidden, 3, [=](Index first, Index at) {
        A value[3], part = m[at], carried = dh[at];
        for (int q = 0; q < 3; ++q) value[q] = gates[first + q * hidden];
        gru_unit_backward(value[0], value[1], value[2], part, A(before[at]), carried);
        for (int q = 0; q < 3; ++q) gates[first + q * hidden] = T(value[q]);
        for (int q = 0; q < 2; ++q) dstate[first + q * hidden] = T(value[q]);
        dstate[first + 2 * hidden] = T(part), dh[at] = T(carried);
    });
}

// ---- The whole sequence on the CPU ------------------------------------------------------------

#if !defined(__CUDACC__)

// Bytes of a core's second-level cache; where the system does not tell, what all have.
inline Index second_level_cache() {
    static const Index bytes = [] {
#if defined(_SC_LEVEL2_CACHE_SIZE)
        return std::max<Index>(sysconf(_SC_LEVEL2_CACHE_SIZE), 256 << 10);
#else
        return Index(256 << 10);
#endif
    }();
    return bytes;
}

// Sequences that a thread takes through all steps together: a tile's rows, or with AVX-512 fewer, which
// keep the processor as busy and are dealt out more evenly.
constexpr Index kTogether = kVectorBytes == 64 ? 8 : kTileRows;

// What one thread computes of a step: some rows, which are sequences, of some hidden units.
struct Part {
    Index row, rows, unit, units;
};

// W_hh packed once for all steps, and the work divided among the threads. Where the weights fit the
// second-level cache each takes whole sequences through all steps and waits for nobody; else the same
// units in every step, so that its share of the weights stays in its cache.
template <typename T>
class Recurrence {
    static constexpr Index width = kTileCols<T>;
    Index batch_, hidden_, gates_, padded_;
    Workspace<T> packed_;  // a gate after the other; transposed for the gradient

  public:
    Recurrence(const T* w, Index batch, Index hidden, Index gates, bool gradient)
        : batch_(batch),
          hidden_(hidden),
          gates_(gates),
          padded_(round_up(hidden, width)),
          packed_(gates * padded_ * hidden) {
        parallel(gates, [&](Index q) {
            pack<width, T>(hidden, hidden, w + q * hidden * hidden, gradient ? 1 : hidden,
                           gradient ? hidden : 1, packed_ + q * padded_ * hidden);
        });
    }

    // body(n, part) for every step n, in parts that cover all rows and units.
    template <typename F>
    void each_step(Index steps, const F& body) const {
        const Index weights = gates_ * padded_ * hidden_ * Index(sizeof(T));
        const Index work = batch_ * gates_ * hidden_ * hidden_;  // of a step
        const Index threads = num_threads();
        if (threads > 1 && batch_ >= kTogether * threads && steps * work >= kSerialWork &&
            2 * weights <= second_level_cache())
            return parallel(ceil_div(batch_, kTogether), [&](Index i) {
                const Index first = i * kTogether;
                const Part part{first, std::min(kTogether, batch_ - first), 0, hidden_};
                for (Index n = 0; n < steps; ++n) body(n, part);
            });
        const Index share = round_up(ceil_div(hidden_, work < kSerialWork ? 1 : threads), width);
        for (Index n = 0; n < steps; ++n)
            parallel(ceil_div(hidden_, share), [&](Index i) {
                body(n, Part{0, batch_, i * share, std::min(share, hidden_ - i * share)});
            });
    }

    // to[rows, units of gate q] = from + state W_hhᵀ, where from may be null
    void gate(const Part& part, const T* state, Index q, const T* from, T* to, Index stride) const {
        const Index first = part.row * stride + part.unit;
        product(part, {state + part.row * hidden_, kTileRows * hidden_, 1, hidden_}, q, to + first,
                stride, from ? from + first : nullptr);
    }

    // to[rows, units] (+)= dgates W_hh
    void state_gradient(const Part& part, const T* dgates, T* to, bool add) const {
        const Index row = gates_ * hidden_;
        to += part.row * hidden_ + part.unit;
        for (Index q = 0; q < gates_; ++q)
            product(part, {dgates + part.row * row + q * hidden_, kTileRows * row, 1, row}, q, to,
                    hidden_, add || q > 0 ? to : nullptr);
    }

  private:
    void product(const Part& part, Panels<T> rows, Index q, T* to, Index stride,
                 const T* from) const {
        const Panels<T> weights{packed_ + (q * padded_ + part.unit) * hidden_, width * hidden_, width,
                                1};
        block_product<T>(part.rows, part.units, hidden_, rows, weights, to, stride, {from, stride});
    }
};

template <REAL T>
HOST
void lstm(const T* projected OF(steps * batch * 4 * hidden), const T* w OF(4 * hidden * hidden),
          T* gates OF(steps * batch * 4 * hidden), T* h OF((steps + 1) * batch * hidden),
          T* c OF((steps + 1) * batch * hidden), Index steps, Index batch, Index hidden,
          bool reverse) {
    const Sequence sequence{steps, batch * hidden, reverse};
    const Recurrence<T> recurrence(w, batch, hidden, 4, false);
    recurrence.each_step(steps, [&](Index n, const Part& part) {
        const Index t = sequence.step(n), before = sequence.before(t), after = sequence.after(t);
        const T* input = projected + t * batch * 4 * hidden;
        T* step = gates + t * batch * 4 * hidden;
        for (Index q = 0; q < 4; ++q)
            recurrence.gate(part, h + before, q, input + q * hidden, step + q * hidden, 4 * hidden);
        for (Index b = part.row; b < part.row + part.rows; ++b) {
            T* gate = step + b * 4 * hidden;
            TL_INDEPENDENT
            for (Index u = part.unit; u < part.unit + part.units; ++u) {
                T i = gate[u], f = gate[hidden + u], g = gate[2 * hidden + u],
                  o = gate[3 * hidden + u];
                lstm_unit(i, f, g, o, c[before + b * hidden + u], c[after + b * hidden + u],
                          h[after + b * hidden + u]);
                gate[u] = i, gate[hidden + u] = f, gate[2 * hidden + u] = g,
                gate[3 * hidden + u] = o;
            }
        }
    });
}

// From dy (steps, batch, hidden) and, in `dh` and `dc`, the gradients of the last state: `dgates`
// becomes the gradient of the gates' arguments, `dh` and `dc` those of the initial state.
template <REAL T>
HOST
void lstm_backward(const T* dy OF(steps * batch * hidden),
                   const T* gates OF(steps * batch * 4 * hidden), const T* w OF(4 * hidden * hidden),
                   const T* c OF((steps + 1) * batch * hidden),
                   const T* dstates OPTIONAL((steps + 1) * batch * hidden),
                   T* dgates OF(steps * batch * 4 * hidden), T* dh OF(batch * hidden),
                   T* dc OF(batch * hidden), Index steps, Index batch, Index hidden, bool reverse) {
    const Sequence sequence{steps, batch * hidden, reverse};
    const Recurrence<T> recurrence(w, batch, hidden, 4, true);
    recurrence.each_step(steps + 1, [&](Index n, const Part& part) {
        if (n > 0)
            recurrence.state_gradient(part, dgates + sequence.step(steps - n) * batch * 4 * hidden,
                                      dh, false);
        if (n == steps) return;
        const Index t = sequence.step(steps - 1 - n);
        for (Index b = part.row; b < part.row + part.rows; ++b) {
            const T* gate = gates + (t * batch + b) * 4 * hidden;
            T* dgate = dgates + (t * batch + b) * 4 * hidden;
            const T* out = dy + (t * batch + b) * hidden;
            const T* before = c + sequence.before(t) + b * hidden;
            const T* after = c + sequence.after(t) + b * hidden;
            TL_INDEPENDENT
            for (Index u = part.unit; u < part.unit + part.units; ++u) {
                T i = gate[u], f = gate[hidden + u], g = gate[2 * hidden + u],
                  o = gate[3 * hidden + u];
                lstm_unit_backward(i, f, g, o, before[u], after[u], dh[b * hidden + u] + out[u],
                                   dc[b * hidden + u]);
                dgate[u] = i, dgate[hidden + u] = f, dgate[2 * hidden + u] = g,
                dgate[3 * hidden + u] = o;
            }
            const T* own = dstates ? dstates + sequence.before(t) + b * hidden : nullptr;
            for (Index u = part.unit; own && u < part.unit + part.units; ++u)
                dc[b * hidden + u] += own[u];
        }
    });
}

// m (steps, batch, hidden) keeps the state's part of n for the gradient.
template <REAL T>
HOST
void gru(const T* projected OF(steps * batch * 3 * hidden), const T* w OF(3 * hidden * hidden),
         const T* bias OPTIONAL(3 * hidden), T* gates OF(steps * batch * 3 * hidden),
         T* h OF((steps + 1) * batch * hidden), T* m OF(steps * batch * hidden), Index steps,
         Index batch, Index hidden, bool reverse) {
    const Sequence sequence{steps, batch * hidden, reverse};
    const Recurrence<T> recurrence(w, batch, hidden, 3, false);
    Workspace<T> zeros(3 * hidden);  // a masked read from no address would be very slow
    std::fill_n((T*)zeros, 3 * hidden, T(0));
    if (!bias) bias = zeros;
    recurrence.each_step(steps, [&](Index i, const Part& share) {
        const Index t = sequence.step(i), before = sequence.before(t), after = sequence.after(t);
        const T* input = projected + t * batch * 3 * hidden;
        T* step = gates + t * batch * 3 * hidden;
        T* part = m + t * batch * hidden;
        for (Index q = 0; q < 2; ++q)
            recurrence.gate(share, h + before, q, input + q * hidden, step + q * hidden,
                            3 * hidden);
        recurrence.gate(share, h + before, 2, nullptr, part, hidden);
        for (Index b = share.row; b < share.row + share.rows; ++b) {
            T* gate = step + b * 3 * hidden;
            const T* entered = input + (3 * b + 2) * hidden;
            T* kept = part + b * hidden;
            TL_INDEPENDENT
            for (Index u = share.unit; u < share.unit + share.units; ++u) {
                T r = gate[u] + bias[u], z = gate[hidden + u] + bias[hidden + u], n = entered[u],
                  state = kept[u] + bias[2 * hidden + u];
                gru_unit(r, z, n, state, h[before + b * hidden + u], h[after + b * hidden + u]);
                gate[u] = r, gate[hidden + u] = z, gate[2 * hidden + u] = n, kept[u] = state;
            }
        }
    });
}

// Like lstm_backward; `dstate` (steps, batch, 3 hidden) becomes the gradient of h' W_hhᵀ + b_hh.
template <REAL T>
HOST
void gru_backward(const T* dy OF(steps * batch * hidden),
                  const T* gates OF(steps * batch * 3 * hidden), const T* w OF(3 * hidden * hidden),
                  const T* h OF((steps + 1) * batch * hidden), const T* m OF(steps * batch * hidden),
                  T* dgates OF(steps * batch * 3 * hidden),
                  T* dstate OF(steps * batch * 3 * hidden), T* dh OF(batch * hidden), Index steps,
                  Index batch, Index hidden, bool reverse) {
    const Sequence sequence{steps, batch * hidden, reverse};
    const Recurrence<T> recurrence(w, batch, hidden, 3, true);
    recurrence.each_step(steps + 1, [&](Index i, const Part& share) {
        if (i > 0)
            recurrence.state_gradient(share, dstate + sequence.step(steps - i) * batch * 3 * hidden,
                                      dh, true);
        if (i == steps) return;
        const Index t = sequence.step(steps - 1 - i);
        for (Index b = share.row; b < share.row + share.rows; ++b) {
            const Index row = t * batch + b;
            const T* gate = gates + row * 3 * hidden;
            T* inner = dgates + row * 3 * hidden;
            T* state = dstate + row * 3 * hidden;
            const T* before = h + sequence.before(t) + b * hidden;
            TL_INDEPENDENT
            for (Index u = share.unit; u < share.unit + share.units; ++u) {
                T r = gate[u], z = gate[hidden + u], n = gate[2 * hidden + u];
                T part = m[row * hidden + u], carried = dh[b * hidden + u] + dy[row * hidden + u];
                gru_unit_backward(r, z, n, part, before[u], carried);
                dh[b * hidden + u] = carried;
                inner[u] = r, inner[hidden + u] = z, inner[2 * hidden + u] = n;
                state[u] = r, state[hidden + u] = z, state[2 * hidden + u] = part;
            }
        }
    });
}

#endif

}  // namespace tl
