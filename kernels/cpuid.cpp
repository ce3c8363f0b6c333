// Which level of x86-64 this processor has, for the choice among kernels that were built beforehand.
// Built for the lowest level, apart from them, and called once through ctypes.
#include <cpuid.h>

namespace {

struct Registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
    Registers r;
    if (leaf > __get_cpuid_max(leaf & 0x80000000u, nullptr)) return r;
    __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
    return r;
}

bool has(unsigned value, unsigned bits) { return (value & bits) == bits; }

// What the operating system saves when it takes a thread off the core; else the registers are not ours.
unsigned saved_state() {
    unsigned low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

}  // namespace

// 1 to 4, as the processor supplement of the System V ABI defines them.
extern "C" __attribute__((visibility("default"))) int tensorlite_x86_64_level() {
    const Registers one = cpuid(1), seven = cpuid(7), extended = cpuid(0x80000001u);
    // SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; LAHF
    if (!has(one.c, 1u | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23)) return 1;
    if (!has(extended.c, 1u)) return 1;
    // FMA, MOVBE, OSXSAVE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT
    if (!has(one.c, 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29)) return 2;
    if (!has(seven.b, 1u << 3 | 1u << 5 | 1u << 8) || !has(extended.c, 1u << 5)) return 2;
    const unsigned saved = saved_state();
    if (!has(saved, 0x6)) return 2;  // xmm, ymm
    // AVX512F, DQ, CD, BW, VL
    if (!has(seven.b, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31)) return 3;
    return has(saved, 0xe6) ? 4 : 3;  // xmm, ymm, masks, zmm
}
