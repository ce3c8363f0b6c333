// LSTM, GRU and plain layers over a whole sequence in one launch on CUDA, and their gradients. Arrays
// and formulas are those of rnn.cu, but 16-bit floats are read and written as they are: sums, the state
// c, and between the steps a GRU's h, are float.
//
// Two launches a step, a product and its cells, cost some 8 µs (a launch 2 to 2.5 even in a graph, a product of
// 32 × 512 by 512 × 2048 some 4); what must be done takes less. By the blocks of device/together.h, for
// LSTM of 512 units and 32 sequences in bf16 on an H200 (132 processors): 128 blocks of 8 units and 16
// sequences, 48 KB of shared memory each. A step reads 16 KB of states a block from the second-level cache
// (0.2 µs at 50 bytes a cycle, and 0.4 µs until the first arrive), multiplies (under 0.2 µs), adds up
// and computes cells (0.3 µs), and waits (1.2 µs: a fence, an atomic addition, a read that sees it): 2.3 µs.
// The gradient reads 64 KB a block and step: 3 µs. In float32 products bound it: 33 million on the
// ordinary units, read from shared memory at half their pace, 2.3 µs more.
//
// Weights must fit: 64 bytes a unit of LSTM in 16 bits for each of a block's 8 units, and all blocks
// of a crew must run at once. On an H200 an LSTM of 1024 units does in float32, too (128 blocks, one a
// processor); where it is not so, a step is a product and a kernel of cells, as in rnn.cu.
#include "tensorlite.h"

#if defined(__CUDACC__)

#include "device/together.h"

namespace tl {

// `blocks` are `crews` times the parts of kUnits units. `arrived` holds zeros.
#define CREW_PARAMETERS PARAMETERS(int* arrived OF(crews), Index steps, Index batch, Index hidden, Index crews, \
                                   Index blocks, Index shared, bool reverse)

template <typename T>
TOGETHER(blocks, 256, kTogetherBlocks<T>, shared)
void lstm_together(const T* projected OF(steps * batch * 4 * hidden), const T* w OF(4 * hidden * hidden),
                   T* gates OF(steps * batch * 4 * hidden), T* h OF((steps + 1) * batch * hidden),
                   Acc<T>* c OF((steps + 1) * batch * hidden), CREW_PARAMETERS) {
    using A = Acc<T>;
    const Sequence sequence{steps, batch * hidden, reverse};
    Crew<T, 4 * kUnits> crew(batch, hidden, crews, (int)hidden, arrived);
    crew.hold([=](int k, int gate, int unit) { return w[(gate * hidden + unit) * hidden + k]; });
    struct Loaded {
        A value[4], before;
    };
    crew.each_step(
        steps, [=](Index n) { return h + sequence.before(sequence.step(n)); },
        [=](Index n, const Place& p) {
            const Index t = sequence.step(n);
            const T* input = projected + (t * batch + p.row) * 4 * hidden + p.unit;
            return Loaded{{A(input[0]), A(input[hidden]), A(input[2 * hidden]), A(input[3 * hidden])},
                          c[sequence.before(t) + p.row * hidden + p.unit]};
        },
        [=](Index n, const Place& p, const Loaded& loaded, const auto& sum) {
            const Index t = sequence.step(n), at = sequence.after(t) + p.row * hidden + p.unit;
            T* gate = gates + (t * batch + p.row) * 4 * hidden + p.unit;
            A value[4], state, out;
#pragma unroll
            for (int q = 0; q < 4; ++q) value[q] = loaded.value[q] + sum(q);
            lstm_unit(value[0], value[1], value[2], value[3], loaded.before, state, out);
#pragma unroll
            for (int q = 0; q < 4; ++q) gate[q * hidden] = T(value[q]);
            c[at] = state, h[at] = T(out);
        });
}

// From dh and dc, the gradients of all states: dgates, that of h0, and in `carried` that of c0.
template <typename T>
TOGETHER(blocks, 256, kTogetherBlocks<T>, shared)
void lstm_together_backward(const T* dh OF((steps + 1) * batch * hidden), const T* gates OF(steps * batch * 4 * hidden),
                            const T* w OF(4 * hidden * hidden), const Acc<T>* c OF((steps + 1) * batch * hidden),
                            const Acc<T>* dc OPTIONAL((steps + 1) * batch * hidden),
                            T* dgates OF(steps * batch * 4 * hidden), T* dh0 OF(batch * hidden),
                            Acc<T>* carried OF(batch * hidden), CREW_PARAMETERS) {
    using A = Acc<T>;
    const Sequence sequence{steps, batch * hidden, reverse};
    Crew<T, kUnits> crew(batch, hidden, crews, (int)(4 * hidden), arrived);
    crew.hold([=](int k, int, int unit) { return w[k * hidden + unit]; });
    struct Loaded {
        A value[4], before, after, dh, dc, own;
    };
    crew.each_step(
        steps + 1,
        [=](Index n) -> const T* { return n ? dgates + sequence.step(steps - n) * batch * 4 * hidden : nullptr; },
        [=](Index n, const Place& p) {
            const Index at = p.row * hidden + p.unit;
            Loaded x{};
            if (n == steps) return x.dh = A(dh[sequence.initial() + at]), x;
            const Index t = sequence.step(steps - 1 - n);
            const T* gate = gates + (t * batch + p.row) * 4 * hidden + p.unit;
#pragma unroll
            for (int q = 0; q < 4; ++q) x.value[q] = A(gate[q * hidden]);
            x.before = c[sequence.before(t) + at], x.after = c[sequence.after(t) + at];
            x.dh = A(dh[sequence.after(t) + at]);
            x.dc = n ? carried[at] : dc ? dc[sequence.after(t) + at] : A(0);
            x.own = dc ? dc[sequence.before(t) + at] : A(0);
            return x;
        },
        [=](Index n, const Place& p, Loaded x, const auto& sum) {
            const Index at = p.row * hidden + p.unit;
            const A total = x.dh + sum(0);
            if (n == steps) {
                dh0[at] = T(total);
                return;
            }
            T* dgate = dgates + (sequence.step(steps - 1 - n) * batch + p.row) * 4 * hidden + p.unit;
            lstm_unit_backward(x.value[0], x.value[1], x.value[2], x.value[3], x.before, x.after, total, x.dc);
#pragma unroll
            for (int q = 0; q < 4; ++q) dgate[q * hidden] = T(x.value[q]);
            carried[at] = x.dc + x.own;
        });
}

// `carried` is room for h between the steps.
template <typename T>
TOGETHER(blocks, 256, kTogetherBlocks<T>, shared)
void gru_together(const T* projected OF(steps * batch * 3 * hidden), const T* w OF(3 * hidden * hidden),
                  const T* bias OPTIONAL(3 * hidden), T* gates OF(steps * batch * 3 * hidden),
                  T* h OF((steps + 1) * batch * hidden), T* m OF(steps * batch * hidden),
                  Acc<T>* carried OF(batch * hidden), CREW_PARAMETERS) {
    using A = Acc<T>;
    const Sequence sequence{steps, batch * hidden, reverse};
    Crew<T, 3 * kUnits> crew(batch, hidden, crews, (int)hidden, arrived);
    crew.hold([=](int k, int gate, int unit) { return w[(gate * hidden + unit) * hidden + k]; });
    struct Loaded {
        A value[3], part[3], before;
    };
    crew.each_step(
        steps, [=](Index n) { return h + sequence.before(sequence.step(n)); },
        [=](Index n, const Place& p) {
            const Index t = sequence.step(n), at = p.row * hidden + p.unit;
            const T* input = projected + (t * batch + p.row) * 3 * hidden + p.unit;
            Loaded x;
#pragma unroll
            for (int q = 0; q < 3; ++q)
                x.value[q] = A(input[q * hidden]), x.part[q] = bias ? A(bias[q * hidden + p.unit]) : A(0);
            x.before = n ? carried[at] : A(h[sequence.initial() + at]);
            return x;
        },
        [=](Index n, const Place& p, Loaded x, const auto& sum) {
            const Index t = sequence.step(n), at = p.row * hidden + p.unit;
            T* gate = gates + (t * batch + p.row) * 3 * hidden + p.unit;
#pragma unroll
            for (int q = 0; q < 3; ++q) x.part[q] += sum(q);
            x.value[0] += x.part[0], x.value[1] += x.part[1];
            A out;
            gru_unit(x.value[0], x.value[1], x.value[2], x.part[2], x.before, out);
#pragma unroll
            for (int q = 0; q < 3; ++q) gate[q * hidden] = T(x.value[q]);
            m[t * batch * hidden + at] = T(x.part[2]);
            carried[at] = out, h[sequence.after(t) + at] = T(out);
        });
}

// `dstate` becomes the gradient of h' W_hhᵀ + b_hh; `carried` is room.
template <typename T>
TOGETHER(blocks, 256, kTogetherBlocks<T>, shared)
void gru_together_backward(const T* dh OF((steps + 1) * batch * hidden), const T* gates OF(steps * batch * 3 * hidden),
                           const T* w OF(3 * hidden * hidden), const T* h OF((steps + 1) * batch * hidden),
                           const T* m OF(steps * batch * hidden), T* dgates OF(steps * batch * 3 * hidden),
                           T* dstate OF(steps * batch * 3 * hidden), T* dh0 OF(batch * hidden),
                           Acc<T>* carried OF(batch * hidden), CREW_PARAMETERS) {
    using A = Acc<T>;
    const Sequence sequence{steps, batch * hidden, reverse};
    Crew<T, kUnits> crew(batch, hidden, crews, (int)(3 * hidden), arrived);
    crew.hold([=](int k, int, int unit) { return w[k * hidden + unit]; });
    struct Loaded {
        A value[3], part, before, dh;
    };
    crew.each_step(
        steps + 1,
        [=](Index n) -> const T* { return n ? dstate + sequence.step(steps - n) * batch * 3 * hidden : nullptr; },
        [=](Index n, const Place& p) {
            const Index at = p.row * hidden + p.unit;
            Loaded x{};
            const A direct = n ? carried[at] : A(0);
            if (n == steps) return x.dh = A(dh[sequence.initial() + at]) + direct, x;
            const Index t = sequence.step(steps - 1 - n);
            const T* gate = gates + (t * batch + p.row) * 3 * hidden + p.unit;
#pragma unroll
            for (int q = 0; q < 3; ++q) x.value[q] = A(gate[q * hidden]);
            x.part = A(m[t * batch * hidden + at]), x.before = A(h[sequence.before(t) + at]);
            x.dh = A(dh[sequence.after(t) + at]) + direct;
            return x;
        },
        [=](Index n, const Place& p, Loaded x, const auto& sum) {
            const Index at = p.row * hidden + p.unit;
            A total = x.dh + sum(0);
            if (n == steps) {
                dh0[at] = T(total);
                return;
            }
            const Index first = (sequence.step(steps - 1 - n) * batch + p.row) * 3 * hidden + p.unit;
            gru_unit_backward(x.value[0], x.value[1], x.value[2], x.part, x.before, total);
#pragma unroll
            for (int q = 0; q < 3; ++q) dgates[first + q * hidden] = T(x.value[q]);
#pragma unroll
            for (int q = 0; q < 3; ++q) dstate[first + q * hidden] = T(q < 2 ? x.value[q] : x.part);
            carried[at] = total;
        });
}

template <typename T>
TOGETHER(blocks, 256, kTogetherBlocks<T>, shared)
void rnn_together(const T* projected OF(steps * batch * hidden), const T* w OF(hidden * hidden),
                  T* h OF((steps + 1) * batch * hidden), bool relu, CREW_PARAMETERS) {
    using A = Acc<T>;
    const Sequence sequence{steps, batch * hidden, reverse};
    Crew<T, kUnits> crew(batch, hidden, crews, (int)hidden, arrived);
    crew.hold([=](int k, int, int unit) { return w[unit * hidden + k]; });
    crew.each_step(
        steps, [=](Index n) { return h + sequence.before(sequence.step(n)); },
        [=](Index n, const Place& p) {
            return A(projected[sequence.step(n) * batch * hidden + p.row * hidden + p.unit]);
        },
        [=](Index n, const Place& p, A x, const auto& sum) {
            x += sum(0);
            h[sequence.after(sequence.step(n)) + p.row * hidden + p.unit] = T(relu ? relu_of(x) : squash(x));
        });
}

// `inner` becomes the gradient of `projected`.
template <typename T>
TOGETHER(blocks, 256, kTogetherBlocks<T>, shared)
void rnn_together_backward(const T* dh OF((steps + 1) * batch * hidden), const T* h OF((steps + 1) * batch * hidden),
                           const T* w OF(hidden * hidden), T* inner OF(steps * batch * hidden),
                           T* dh0 OF(batch * hidden), bool relu, CREW_PARAMETERS) {
    using A = Acc<T>;
    const Sequence sequence{steps, batch * hidden, reverse};
    Crew<T, kUnits> crew(batch, hidden, crews, (int)hidden, arrived);
    crew.hold([=](int k, int, int unit) { return w[k * hidden + unit]; });
    struct Loaded {
        A after, dh;
    };
    crew.each_step(
        steps + 1, [=](Index n) -> const T* { return n ? inner + sequence.step(steps - n) * batch * hidden : nullptr; },
        [=](Index n, const Place& p) {
            const Index at = p.row * hidden + p.unit;
            const Index place = n == steps ? sequence.initial() : sequence.after(sequence.step(steps - 1 - n));
            return Loaded{A(h[place + at]), A(dh[place + at])};
        },
        [=](Index n, const Place& p, const Loaded& x, const auto& sum) {
            const Index at = p.row * hidden + p.unit;
            const A total = x.dh + sum(0);
            if (n == steps) {
                dh0[at] = T(total);
                return;
            }
            const A slope = relu ? A(x.after > 0) : 1 - x.after * x.after;
            inner[sequence.step(steps - 1 - n) * batch * hidden + at] = T(total * slope);
        });
}

}  // namespace tl

#endif
