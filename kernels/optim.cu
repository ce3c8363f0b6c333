// One step of an optimizer over an arena of n elements. Its numbers are an array on the device (a
// captured graph replays with new values). A struct names them, and Python fills them in by these names
// (`hyper` in tensorlite/optim/): `decay` is that of weights, `scale` multiplies gradients (it undoes loss
// scaling, and clips), and `skip`, if not 0, makes the step change nothing.
//
// Formulas and names are torch's. Divisions and roots are IEEE's, so that a step has the same bits on
// every device. That costs no time: while Adam's 28 bytes an element pass, a GPU executes 150 instructions
// for it, of which these are 30.
#include "tensorlite.h"

namespace tl {

// What every optimizer computes with, as A.
template <typename A>
struct Common {
    A lr, decay, scale;
    template <typename Numbers>
    TL_INLINE explicit Common(const Numbers& h) : lr(A(h.lr)), decay(A(h.decay)), scale(A(h.scale)) {}
};

struct Sgd NAMES(lr, decay, scale, skip, momentum, dampening, nesterov, first);

template <REAL T>
EACH(n)
void sgd(T* p OF(n), const T* g OF(n), T* buffer OPTIONAL(n), const double* hyper HYPER(Sgd), Index n) {
    using A = Acc<T>;
    const auto& h = once<Sgd>(hyper);
    if (h.skip != 0) return;
    const Common<A> c(h);
    if (!buffer) {
        map(n, [=](A& p, A g) { p -= c.lr * (g * c.scale + c.decay * p); }, inout(p), g);
        return;
    }
    const bool first = h.first != 0;
    const A momentum = first ? A(0) : A(h.momentum), fresh = first ? A(1) : 1 - A(h.dampening);
    // nesterov: p -= lr (d + momentum buffer)
    const A look_ahead = A(h.momentum), direct = h.nesterov != 0 ? A(1) : A(0);
    auto step = [=](A& p, A& buffer, A g) {
        const A d = g * c.scale + c.decay * p;
        buffer = momentum * buffer + fresh * d;
        p -= c.lr * (direct != 0 ? d + look_ahead * buffer : buffer);
    };
    map(n, step, inout(p), inout(buffer), g);
}

// correction1, 2: 1 - beta^t; decoupled: weight decay as in AdamW
struct Adam NAMES(lr, decay, scale, skip, beta1, beta2, eps, correction1, correction2, decoupled);

template <REAL T>
EACH(n)
void adam(T* p OF(n), const T* g OF(n), T* m OF(n), T* v OF(n), T* greatest OPTIONAL(n),
          const double* hyper HYPER(Adam), Index n) {
    using A = Acc<T>;
    const auto& h = once<Adam>(hyper);
    if (h.skip != 0) return;
    const Common<A> c(h);
    const A beta1 = A(h.beta1), beta2 = A(h.beta2), eps = A(h.eps);
    const A rate = A(h.lr / h.correction1), root = A(1 / sqrt(h.correction2));
    const bool decoupled = h.decoupled != 0;
    const A shrink = decoupled ? A(1 - h.lr * h.decay) : A(1), decay = decoupled ? 0 : c.decay;
    const A fresh1 = A(1 - h.beta1), fresh2 = A(1 - h.beta2);
    auto move = [=](A& m, A& v, A d) {
        m = beta1 * m + fresh1 * d;
        v = beta2 * v + fresh2 * d * d;
    };
    if (greatest) {  // AMSGrad
        auto step = [=](A& p, A& m, A& v, A& greatest, A g) {
            move(m, v, g * c.scale + decay * p);
            greatest = v > greatest ? v : greatest;
            p = p * shrink - rate * m / (sqrt(greatest) * root + eps);
        };
        map(n, step, inout(p), inout(m), inout(v), inout(greatest), g);
        return;
    }
    auto step = [=](A& p, A& m, A& v, A g) {
        move(m, v, g * c.scale + decay * p);
        p = p * shrink - rate * m / (sqrt(v) * root + eps);
    };
    map(n, step, inout(p), inout(m), inout(v), g);
}

// Half the distance from 1 to the next number: a difference of that size may be rounding.
template <typename A>
constexpr A kHalfUlp = sizeof(A) == 4 ? A(0x1p-24) : A(0x1p-53);

struct RmsProp NAMES(lr, decay, scale, skip, alpha, eps, momentum);

template <REAL T>
EACH(n)
void rmsprop(T* p OF(n), const T* g OF(n), T* square OF(n), T* mean OPTIONAL(n),
             T* buffer OPTIONAL(n), const double* hyper HYPER(RmsProp), Index n) {
    using A = Acc<T>;
    const auto& h = once<RmsProp>(hyper);
    if (h.skip != 0) return;
    const Common<A> c(h);
    const A alpha = A(h.alpha), eps = A(h.eps), momentum = A(h.momentum), fresh = A(1 - h.alpha);
    // The direction g / sqrt(E g^2 [- (E g)^2]); centered where `mean` is kept.
    auto plain = [=](A p, A& square, A g) {
        const A d = g * c.scale + c.decay * p;
        square = alpha * square + fresh * d * d;
        return d / (sqrt(square) + eps);
    };
    auto centered = [=](A p, A& square, A& mean, A g) {
        const A d = g * c.scale + c.decay * p;
        square = alpha * square + fresh * d * d;
        mean = mean + fresh * (d - mean);
        const A variance = square - mean * mean, least = square * kHalfUlp<A>;
        return d / (sqrt(variance > least ? variance : least) + eps);
    };
    auto push = [=](A& p, A& buffer, A direction) {
        buffer = momentum * buffer + direction;
        p -= c.lr * buffer;
    };
    if (mean && buffer) {
        auto step = [=](A& p, A& s, A& m, A& b, A g) { push(p, b, centered(p, s, m, g)); };
        map(n, step, inout(p), inout(square), inout(mean), inout(buffer), g);
    } else if (mean) {
        auto step = [=](A& p, A& s, A& m, A g) { p -= c.lr * centered(p, s, m, g); };
        map(n, step, inout(p), inout(square), inout(mean), g);
    } else if (buffer) {
        auto step = [=](A& p, A& s, A& b, A g) { push(p, b, plain(p, s, g)); };
        map(n, step, inout(p), inout(square), inout(buffer), g);
    } else {
        map(n, [=](A& p, A& s, A g) { p -= c.lr * plain(p, s, g); }, inout(p), inout(square), g);
    }
}

// lr is the decayed one
struct Adagrad NAMES(lr, decay, scale, skip, eps);

template <REAL T>
EACH(n)
void adagrad(T* p OF(n), const T* g OF(n), T* sum OF(n), const double* hyper HYPER(Adagrad), Index n) {
    using A = Acc<T>;
    const auto& h = once<Adagrad>(hyper);
    if (h.skip != 0) return;
    const Common<A> c(h);
    const A eps = A(h.eps);
    auto step = [=](A& p, A& sum, A g) {
        const A d = g * c.scale + c.decay * p;
        sum += d * d;
        p -= c.lr * d / (sqrt(sum) + eps);
    };
    map(n, step, inout(p), inout(sum), g);
}

// Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.
struct Lion NAMES(lr, decay, scale, skip, beta1, beta2);

template <REAL T>
EACH(n)
void lion(T* p OF(n), const T* g OF(n), T* m OF(n), const double* hyper HYPER(Lion), Index n) {
    using A = Acc<T>;
    const auto& h = once<Lion>(hyper);
    if (h.skip != 0) return;
    const Common<A> c(h);
    const A beta1 = A(h.beta1), beta2 = A(h.beta2);
    auto step = [=](A& p, A& m, A g) {
        const A d = g * c.scale, u = beta1 * m + (1 - beta1) * d;
        p -= c.lr * ((u > 0 ? A(1) : u < 0 ? A(-1) : A(0)) + c.decay * p);
        m = beta2 * m + (1 - beta2) * d;
    };
    map(n, step, inout(p), inout(m), g);
}

// partial[i] = sum of x^2 over part i, in double: neither overflow nor order matter
template <typename T>
ROWS(parts, 8192)
void square_sum(const T* x OF(n), double* partial OF(parts), Index n, Index parts) {
    each_team<T>(parts, 8192, [=](auto team) {
        for (Index i : team) {
            const Share mine = share(n, i, parts);
            const auto part = team.over(mine.last - mine.first);
            const auto in = part.row(x + mine.first);
            const double sum = part.sum([&](Slot j) { return double(in[j]) * double(in[j]); }, in);
            if (team.leader()) partial[i] = sum;
        }
    });
}

// norm = sqrt(sum of partial), factor = what gradients are multiplied by so that it is at most max_norm
template <typename A, typename T>
TL_INLINE void write_clip_factor(double sum, double max_norm, A* norm, T* factor) {
    const double length = sqrt(sum), needed = max_norm / (length + 1e-6);
    *norm = A(length);
    *factor = T(A(needed > 1 ? 1 : needed));  // NaN stays NaN
}

#if defined(__CUDACC__)
template <typename T>
BLOCKS(1, 512)
void clip_factor(const double* partial OF(parts), Acc<T>* norm OF(1), T* factor OF(1), Index parts,
                 double max_norm) {
    double sum = 0;
#pragma unroll 4
    for (Index i = threadIdx.x; i < parts; i += 512) sum += partial[i];
    __shared__ double of_lane[512];
    of_lane[threadIdx.x] = sum;
    for (int half = 256; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) of_lane[threadIdx.x] += of_lane[threadIdx.x + half];
    }
    if (threadIdx.x == 0) write_clip_factor(of_lane[0], max_norm, norm, factor);
}
#else
template <typename T>
HOST
void clip_factor(const double* partial OF(parts), Acc<T>* norm OF(1), T* factor OF(1), Index parts,
                 double max_norm) {
    double sum = 0;
    for (Index i = 0; i < parts; ++i) sum += partial[i];
    write_clip_factor(sum, max_norm, norm, factor);
}
#endif

}  // namespace tl
