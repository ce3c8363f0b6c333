// Random numbers from Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// 2011): tensorlite/random.py states the convention, and gives the same bits. This family is built
// without fused multiply-add, so that every device rounds alike.
//
// `base`, where given, is added to the offset: a captured graph draws new numbers at each replay by
// changing it.
#include "philox.h"

namespace tl {

// Uniform 32-bit words, as they are.
EACH(n)
void random_bits(uint32_t* y OF(n), const Index* base OPTIONAL(1), Index n, uint64_t seed,
                 uint64_t offset) {
    auto draw = [](uint32_t word, uint32_t& y) { y = word; };
    map_random<Words>(n, seed, offset + (base ? *base : 0), draw, out(y));
}

// Uniform in [0, 1), multiples of 2^-24.
EACH(n)
void random_uniform(float* y OF(n), const Index* base OPTIONAL(1), Index n, uint64_t seed,
                    uint64_t offset) {
    auto draw = [](uint32_t word, float& y) { y = uniform(word); };
    map_random<Words>(n, seed, offset + (base ? *base : 0), draw, out(y));
}

// Standard normal.
EACH(n)
void random_normal(float* y OF(n), const Index* base OPTIONAL(1), Index n, uint64_t seed,
                   uint64_t offset) {
    auto draw = [](uint32_t word, float& y) { y = float_of(word); };
    map_random<Normals>(n, seed, offset + (base ? *base : 0), draw, out(y));
}

// y = x / (1 - p) where a uniform number is at least p, else 0. Its own gradient: the same call on g.
template <typename T>
EACH(n)
void dropout(const T* x OF(n), T* y OF(n), const Index* base OPTIONAL(1), Index n, double p,
             uint64_t seed, uint64_t offset) {
    using A = Acc<T>;
    const int least = least_kept(p);
    const A scale = A(1 / (1 - p));
    auto keep = [=](uint32_t word, A x, A& y) {
        const A kept = x * scale;
        y = int(word >> 8) < least ? A(0) : kept;
    };
    map_random<Words>(n, seed, offset + (base ? *base : 0), keep, x, out(y));
}

// The same of float32 numbers, rounded to 16 bits: the gradient of what was dropped from short floats
// and added to float32.
template <SHORT T>
EACH(n)
void dropout_to_short(const float* x OF(n), T* y OF(n), const Index* base OPTIONAL(1), Index n, double p,
                      uint64_t seed, uint64_t offset) {
    const int least = least_kept(p);
    const float scale = float(1 / (1 - p));
    auto keep = [=](uint32_t word, float x, float& y) {
        const float kept = x * scale;
        y = int(word >> 8) < least ? 0.0f : kept;
    };
    map_random<Words>(n, seed, offset + (base ? *base : 0), keep, x, out(y));
}

}  // namespace tl
