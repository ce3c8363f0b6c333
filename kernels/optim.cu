// One step of an optimizer over an arena of n elements. What changes between steps is read from
// `hyper`, an array on the device (a captured graph replays with new values):
//
//     0 lr   1 weight decay   2 gradient scale   3 skip the step if not 0   4 … by optimizer
//
// Formulas and names are torch's.
#include "tensorlite.h"

namespace tl {

// Numbers that all lanes want: on CUDA read from memory once a block.
template <int count>
TL_INLINE const double* once(const double* numbers) {
#if defined(__CUDACC__)
    __shared__ double read[count];
    if (threadIdx.x < count) read[threadIdx.x] = numbers[threadIdx.x];
    __syncthreads();
    return read;
#else
    return numbers;
#endif
}

// What every optimizer reads; the gradient scale undoes loss scaling and clips.
template <typename A>
struct Common {
    A lr, decay, scale;
    TL_INLINE explicit Common(const double* hyper)
        : lr(A(hyper[0])), decay(A(hyper[1])), scale(A(hyper[2])) {}
};

// hyper: 4 momentum, 5 dampening, 6 nesterov, 7 first step
template <REAL T>
EACH(n)
void sgd(T* p OF(n), const T* g OF(n), T* buffer OPTIONAL(n), const double* hyper OF(8), Index n) {
    using A = Acc<T>;
    hyper = once<8>(hyper);
    if (hyper[3] != 0) return;
    const Common<A> c(hyper);
    if (!buffer) {
        map(n, [=](A& p, A g) { p -= c.lr * (g * c.scale + c.decay * p); }, inout(p), g);
        return;
    }
    const bool first = hyper[7] != 0;
    const A momentum = first ? A(0) : A(hyper[4]), fresh = first ? A(1) : 1 - A(hyper[5]);
    // nesterov: p -= lr (d + momentum buffer)
    const A look_ahead = A(hyper[4]), direct = hyper[6] != 0 ? A(1) : A(0);
    auto step = [=](A& p, A& buffer, A g) {
        const A d = g * c.scale + c.decay * p;
        buffer = momentum * buffer + fresh * d;
        p -= c.lr * (direct != 0 ? d + look_ahead * buffer : buffer);
    };
    map(n, step, inout(p), inout(buffer), g);
}

// hyper: 4 beta1, 5 beta2, 6 eps, 7 1 - beta1^t, 8 1 - beta2^t, 9 decoupled weight decay (AdamW)
template <REAL T>
EACH(n)
void adam(T* p OF(n), const T* g OF(n), T* m OF(n), T* v OF(n), T* greatest OPTIONAL(n),
          const double* hyper OF(10), Index n) {
    using A = Acc<T>;
    hyper = once<10>(hyper);
    if (hyper[3] != 0) return;
    const Common<A> c(hyper);
    const A beta1 = A(hyper[4]), beta2 = A(hyper[5]), eps = A(hyper[6]);
    const A rate = A(hyper[0] / hyper[7]), root = A(1 / sqrt(hyper[8]));
    const bool decoupled = hyper[9] != 0;
    const A shrink = decoupled ? A(1 - hyper[0] * hyper[1]) : A(1), decay = decoupled ? 0 : c.decay;
    const A fresh1 = A(1 - hyper[4]), fresh2 = A(1 - hyper[5]);
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

// hyper: 4 alpha, 5 eps, 6 momentum
template <REAL T>
EACH(n)
void rmsprop(T* p OF(n), const T* g OF(n), T* square OF(n), T* mean OPTIONAL(n),
             T* buffer OPTIONAL(n), const double* hyper OF(7), Index n) {
    using A = Acc<T>;
    hyper = once<7>(hyper);
    if (hyper[3] != 0) return;
    const Common<A> c(hyper);
    const A alpha = A(hyper[4]), eps = A(hyper[5]), momentum = A(hyper[6]), fresh = A(1 - hyper[4]);
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

// hyper: 4 eps; lr is the decayed one
template <REAL T>
EACH(n)
void adagrad(T* p OF(n), const T* g OF(n), T* sum OF(n), const double* hyper OF(5), Index n) {
    using A = Acc<T>;
    hyper = once<5>(hyper);
    if (hyper[3] != 0) return;
    const Common<A> c(hyper);
    const A eps = A(hyper[4]);
    auto step = [=](A& p, A& sum, A g) {
        const A d = g * c.scale + c.decay * p;
        sum += d * d;
        p -= c.lr * d / (sqrt(sum) + eps);
    };
    map(n, step, inout(p), inout(sum), g);
}

// hyper: 4 beta1, 5 beta2. Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023.
template <REAL T>
EACH(n)
void lion(T* p OF(n), const T* g OF(n), T* m OF(n), const double* hyper OF(6), Index n) {
    using A = Acc<T>;
    hyper = once<6>(hyper);
    if (hyper[3] != 0) return;
    const Common<A> c(hyper);
    const A beta1 = A(hyper[4]), beta2 = A(hyper[5]);
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
