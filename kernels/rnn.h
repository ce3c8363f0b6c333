// The cells of recurrent layers: one unit of one sequence, one step; and the order of the steps.
#pragma once

#include "activation.h"

namespace tl {

// tanh, in float by a minimax fit of x P(x²) / Q(x²) to 6e-9, up to a limit where it is 1 but for 3e-7;
// rounding makes its error 2.5e-7. P(0) and Q(0) are 1: one that is a little less makes all small
// results too small, which a state adds up over the steps. Half the time of an exp and a division.
TL_INLINE float squash(float x) {
    constexpr float limit = 7.9f;
    x = x > limit ? limit : x;  // NaN stays NaN
    x = x < -limit ? -limit : x;
    const float z = x * x;
    const float p = polynomial(z, 1.0f, 0.134528597f, 0.00358164451f, 2.20669639e-05f, 1.54896672e-08f);
    const float q = polynomial(z, 1.0f, 0.467861895f, 0.0262023433f, 0.00034279863f, 8.62373168e-07f);
    return quotient(x * p, q);
}
TL_INLINE double squash(double x) { return tanh(x); }

// sigmoid, to 1.5e-7
TL_INLINE float gate_of(float x) { return 0.5f + 0.5f * squash(0.5f * x); }
TL_INLINE double gate_of(double x) { return sigmoid(x); }

// i, f, o = sigmoid(·), g = tanh(·), c = f c' + i g, h = o tanh c
template <typename A>
TL_INLINE void lstm_unit(A& i, A& f, A& g, A& o, A before, A& c, A& h) {
    i = gate_of(i), f = gate_of(f), g = squash(g), o = gate_of(o);
    c = f * before + i * g;
    h = o * squash(c);
}

// From the gates' values and the gradients of h and c: those of the gates' arguments, and of c'.
template <typename A>
TL_INLINE void lstm_unit_backward(A& i, A& f, A& g, A& o, A before, A c, A dh, A& dc) {
    const A squashed = squash(c), total = dc + dh * o * (1 - squashed * squashed);
    const A di = total * g * i * (1 - i), df = total * before * f * (1 - f);
    const A dg = total * i * (1 - g * g), down = dh * squashed * o * (1 - o);
    dc = total * f;
    i = di, f = df, g = dg, o = down;
}

// r, z = sigmoid(·), n = tanh(n + r m), h = (1 - z) n + z h', where m is the state's part of n
template <typename A>
TL_INLINE void gru_unit(A& r, A& z, A& n, A m, A before, A& h) {
    r = gate_of(r), z = gate_of(z);
    n = squash(n + r * m);
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

// The order of steps, and the state before and after each: reading in reverse turns both around.
struct Sequence {
    Index steps, state_size;
    bool reverse;

    TL_INLINE Index step(Index i) const { return reverse ? steps - 1 - i : i; }
    TL_INLINE Index before(Index t) const { return (reverse ? t + 1 : t) * state_size; }
    TL_INLINE Index after(Index t) const { return (reverse ? t : t + 1) * state_size; }
    TL_INLINE Index initial() const { return reverse ? steps * state_size : 0; }
};

}  // namespace tl
