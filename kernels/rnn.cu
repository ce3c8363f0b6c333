// LSTM and GRU over a sequence, and their gradients; torch's order of gates and formulas.
//
// The caller computes the input's part of all gates as one product, x W_ihᵀ + b_ih, into `gates`
// (steps, batch, gates · hidden); the kernels add the state's part and leave the gates' values
// there for the gradient. `h` and `c` are (steps + 1, batch, hidden): the initial state stands in
// front, or at the end where the sequence is read in reverse. On the CPU the whole sequence is one
// call; on CUDA a cell is a kernel between products.
#include "tensorlite.h"

#if !defined(__CUDACC__)
#include "gemm.h"
#endif

namespace tl {

// ---- The cells: one unit of one sequence ------------------------------------------------------

// i, f, o = sigmoid(·), g = tanh(·), c = f c' + i g, h = o tanh c
template <typename A>
TL_INLINE void lstm_unit(A& i, A& f, A& g, A& o, A before, A& c, A& h) {
    i = sigmoid(i), f = sigmoid(f), g = tanh(g), o = sigmoid(o);
    c = f * before + i * g;
    h = o * tanh(c);
}

// From the gates' values and the gradients of h and c: those of the gates' arguments, and of c'.
template <typename A>
TL_INLINE void lstm_unit_backward(A& i, A& f, A& g, A& o, A before, A c, A dh, A& dc) {
    const A squashed = tanh(c), total = dc + dh * o * (1 - squashed * squashed);
    const A di = total * g * i * (1 - i), df = total * before * f * (1 - f);
    const A dg = total * i * (1 - g * g), down = dh * squashed * o * (1 - o);
    dc = total * f;
    i = di, f = df, g = dg, o = down;
}

// r, z = sigmoid(·), n = tanh(n + r m), h = (1 - z) n + z h', where m is the state's part of n
template <typename A>
TL_INLINE void gru_unit(A& r, A& z, A& n, A m, A before, A& h) {
    r = sigmoid(r), z = sigmoid(z);
    n = tanh(n + r * m);
    h = n + z * (before - n);
}

// From the gates' values and the gradient of h: those of the gates' arguments and m, and h' in
// part.
template <typename A>
TL_INLINE void gru_unit_backward(A& r, A& z, A& n, A& m, A before, A& dh) {
    const A dn = dh * (1 - z) * (1 - n * n), dz = dh * (before - n) * z * (1 - z);
    dh = dh * z;
    const A dr = dn * m * r * (1 - r);
    m = dn * r, r = dr, z = dz, n = dn;
}

// ---- One step, for a whole batch --------------------------------------------------------------

template <typename T>
EACH(batch * hidden)
void lstm_cell(T* gates OF(batch * 4 * hidden), const T* bias OPTIONAL(4 * hidden),
               const T* before OF(batch * hidden), T* c OF(batch * hidden), T* h OF(batch * hidden),
               Index batch, Index hidden) {
    using A = Acc<T>;
    each(batch * hidden, [=](Index at) {
        const Index u = at % hidden;
        T* gate = gates + at / hidden * 4 * hidden + u;
        A value[4], state, out;
        for (int q = 0; q < 4; ++q)
            value[q] = A(gate[q * hidden]) + (bias ? A(bias[q * hidden + u]) : A(0));
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
    each(batch * hidden, [=](Index at) {
        T* gate = gates + at / hidden * 4 * hidden + at % hidden;
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
    each(batch * hidden, [=](Index at) {
        const Index first = at / hidden * 3 * hidden + at % hidden;
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
    each(batch * hidden, [=](Index at) {
        const Index first = at / hidden * 3 * hidden + at % hidden;
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

// The order of steps, and the state before and after each: reading in reverse turns both around.
struct Sequence {
    Index steps, state_size;
    bool reverse;

    Index step(Index i) const { return reverse ? steps - 1 - i : i; }
    Index before(Index t) const { return (reverse ? t + 1 : t) * state_size; }
    Index after(Index t) const { return (reverse ? t : t + 1) * state_size; }
    Index initial() const { return reverse ? steps * state_size : 0; }
};

// W_hh packed once for all steps, and the hidden units divided among the threads: each takes the
// same units in every step, so that its share of the weights stays in its cache.
template <typename T>
class Recurrence {
    static constexpr Index width = kTileCols<T>;
    Index batch_, hidden_, gates_, padded_;
    Workspace<T> forward_, backward_;

  public:
    Recurrence(const T* w, Index batch, Index hidden, Index gates, bool gradient)
        : batch_(batch),
          hidden_(hidden),
          gates_(gates),
          padded_(round_up(hidden, width)),
          forward_(gradient ? 0 : gates * padded_ * hidden),
          backward_(gradient ? gates * hidden * padded_ : 0) {
        if (gradient)
            pack<width, T>(hidden, gates * hidden, w, 1, hidden, backward_);
        else
            parallel(gates, [&](Index q) {
                pack<width, T>(hidden, hidden, w + q * hidden * hidden, hidden, 1,
                               forward_ + q * padded_ * hidden);
            });
    }

    // body(first, count) for ranges of units that cover all.
    template <typename F>
    void each_range(const F& body) const {
        const Index shares = batch_ * hidden_ * hidden_ * gates_ < kSerialWork ? 1 : num_threads();
        const Index share = round_up(ceil_div(hidden_, shares), width);
        parallel(ceil_div(hidden_, share),
                 [&](Index i) { body(i * share, std::min(share, hidden_ - i * share)); });
    }

    // to[batch, units of gate q] (+)= state W_hhᵀ
    void gate(const T* state, Index q, Index first, Index count, T* to, Index stride,
              bool add) const {
        block_product<T>(batch_, count, hidden_, {state, kTileRows * hidden_, 1, hidden_},
                         {forward_ + (q * padded_ + first) * hidden_, width * hidden_, width, 1},
                         to + first, stride, {add});
    }

    // to[batch, units] (+)= dgates W_hh
    void state_gradient(const T* dgates, Index first, Index count, T* to, bool add) const {
        const Index depth = gates_ * hidden_;
        block_product<T>(batch_, count, depth, {dgates, kTileRows * depth, 1, depth},
                         {backward_ + first * depth, width * depth, width, 1}, to + first, hidden_,
                         {add});
    }
};

template <REAL T>
HOST
void lstm(T* gates OF(steps * batch * 4 * hidden), const T* w OF(4 * hidden * hidden),
          const T* bias OPTIONAL(4 * hidden), T* h OF((steps + 1) * batch * hidden),
          T* c OF((steps + 1) * batch * hidden), Index steps, Index batch, Index hidden,
          bool reverse) {
    const Sequence sequence{steps, batch * hidden, reverse};
    const Recurrence<T> recurrence(w, batch, hidden, 4, false);
    for (Index i = 0; i < steps; ++i) {
        const Index t = sequence.step(i), before = sequence.before(t), after = sequence.after(t);
        T* step = gates + t * batch * 4 * hidden;
        recurrence.each_range([&](Index first, Index count) {
            for (Index q = 0; q < 4; ++q)
                recurrence.gate(h + before, q, first, count, step + q * hidden, 4 * hidden, true);
            for (Index b = 0; b < batch; ++b) {
                T* gate = step + b * 4 * hidden;
#pragma GCC ivdep
                for (Index u = first; u < first + count; ++u) {
                    T value[4];
                    for (int q = 0; q < 4; ++q)
                        value[q] = gate[q * hidden + u] + (bias ? bias[q * hidden + u] : T(0));
                    lstm_unit(value[0], value[1], value[2], value[3], c[before + b * hidden + u],
                              c[after + b * hidden + u], h[after + b * hidden + u]);
                    for (int q = 0; q < 4; ++q) gate[q * hidden + u] = value[q];
                }
            }
        });
    }
}

// From dy (steps, batch, hidden) and, in `dh` and `dc`, the gradients of the last state: `gates`
// becomes the gradient of its arguments, `dh` and `dc` those of the initial state.
template <REAL T>
HOST
void lstm_backward(const T* dy OF(steps * batch * hidden), T* gates OF(steps * batch * 4 * hidden),
                   const T* w OF(4 * hidden * hidden), const T* c OF((steps + 1) * batch * hidden),
                   T* dh OF(batch * hidden), T* dc OF(batch * hidden), Index steps, Index batch,
                   Index hidden, bool reverse) {
    const Sequence sequence{steps, batch * hidden, reverse};
    const Recurrence<T> recurrence(w, batch, hidden, 4, true);
    for (Index i = 0; i < steps; ++i) {
        const Index t = sequence.step(steps - 1 - i), later = sequence.step(steps - i);
        T* step = gates + t * batch * 4 * hidden;
        recurrence.each_range([&](Index first, Index count) {
            if (i > 0)
                recurrence.state_gradient(gates + later * batch * 4 * hidden, first, count, dh,
                                          false);
            for (Index b = 0; b < batch; ++b) {
                T* gate = step + b * 4 * hidden;
                const T* out = dy + (t * batch + b) * hidden;
                const T* before = c + sequence.before(t) + b * hidden;
                const T* after = c + sequence.after(t) + b * hidden;
#pragma GCC ivdep
                for (Index u = first; u < first + count; ++u)
                    lstm_unit_backward(gate[u], gate[hidden + u], gate[2 * hidden + u],
                                       gate[3 * hidden + u], before[u], after[u],
                                       dh[b * hidden + u] + out[u], dc[b * hidden + u]);
            }
        });
    }
    if (steps > 0)
        recurrence.each_range([&](Index first, Index count) {
            recurrence.state_gradient(gates + sequence.step(0) * batch * 4 * hidden, first, count,
                                      dh, false);
        });
}

// m (steps, batch, hidden) keeps the state's part of n for the gradient.
template <REAL T>
HOST
void gru(T* gates OF(steps * batch * 3 * hidden), const T* w OF(3 * hidden * hidden),
         const T* bias OPTIONAL(3 * hidden), T* h OF((steps + 1) * batch * hidden),
         T* m OF(steps * batch * hidden), Index steps, Index batch, Index hidden, bool reverse) {
    const Sequence sequence{steps, batch * hidden, reverse};
    const Recurrence<T> recurrence(w, batch, hidden, 3, false);
    for (Index i = 0; i < steps; ++i) {
        const Index t = sequence.step(i), before = sequence.before(t), after = sequence.after(t);
        T* step = gates + t * batch * 3 * hidden;
        T* part = m + t * batch * hidden;
        recurrence.each_range([&](Index first, Index count) {
            for (Index q = 0; q < 2; ++q)
                recurrence.gate(h + before, q, first, count, step + q * hidden, 3 * hidden, true);
            recurrence.gate(h + before, 2, first, count, part, hidden, false);
            for (Index b = 0; b < batch; ++b) {
                T* gate = step + b * 3 * hidden;
                T* kept = part + b * hidden;
#pragma GCC ivdep
                for (Index u = first; u < first + count; ++u) {
                    T r = gate[u], z = gate[hidden + u];
                    if (bias) r += bias[u], z += bias[hidden + u], kept[u] += bias[2 * hidden + u];
                    gru_unit(r, z, gate[2 * hidden + u], kept[u], h[before + b * hidden + u],
                             h[after + b * hidden + u]);
                    gate[u] = r, gate[hidden + u] = z;
                }
            }
        });
    }
}

// Like lstm_backward; `dstate` (steps, batch, 3 hidden) becomes the gradient of h' W_hhᵀ + b_hh.
template <REAL T>
HOST
void gru_backward(const T* dy OF(steps * batch * hidden), T* gates OF(steps * batch * 3 * hidden),
                  const T* w OF(3 * hidden * hidden), const T* h OF((steps + 1) * batch * hidden),
                  const T* m OF(steps * batch * hidden), T* dstate OF(steps * batch * 3 * hidden),
                  T* dh OF(batch * hidden), Index steps, Index batch, Index hidden, bool reverse) {
    const Sequence sequence{steps, batch * hidden, reverse};
    const Recurrence<T> recurrence(w, batch, hidden, 3, true);
    for (Index i = 0; i < steps; ++i) {
        const Index t = sequence.step(steps - 1 - i), later = sequence.step(steps - i);
        recurrence.each_range([&](Index first, Index count) {
            if (i > 0)
                recurrence.state_gradient(dstate + later * batch * 3 * hidden, first, count, dh,
                                          true);
            for (Index b = 0; b < batch; ++b) {
                const Index row = t * batch + b;
                T* gate = gates + row * 3 * hidden;
                T* state = dstate + row * 3 * hidden;
                const T* before = h + sequence.before(t) + b * hidden;
#pragma GCC ivdep
                for (Index u = first; u < first + count; ++u) {
                    T part = m[row * hidden + u],
                      carried = dh[b * hidden + u] + dy[row * hidden + u];
                    gru_unit_backward(gate[u], gate[hidden + u], gate[2 * hidden + u], part,
                                      before[u], carried);
                    dh[b * hidden + u] = carried;
                    state[u] = gate[u], state[hidden + u] = gate[hidden + u],
                    state[2 * hidden + u] = part;
                }
            }
        });
    }
    if (steps > 0)
        recurrence.each_range([&](Index first, Index count) {
            recurrence.state_gradient(dstate + sequence.step(0) * batch * 3 * hidden, first, count,
                                      dh, true);
        });
}

#endif

}  // namespace tl
