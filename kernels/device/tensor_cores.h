// The instructions of tensor cores (compute capability 8.0 and newer): copies that go on while a block
// computes, matrices from shared memory, products. Operands are of 16 bits, or float32 rounded to TF32:
// mma.sync's m16n8k16, and m16n8k8 with the same bytes in the same lanes.
#pragma once

namespace tl {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define TL_TENSOR_CORES(...) asm volatile(__VA_ARGS__)
#else
#define TL_TENSOR_CORES(...) asm volatile("trap;")  // these kernels are not called on older chips
#endif

TL_INLINE uint32_t shared_address(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

// A number that the compiler takes for another one, so that what follows from it is computed again
// rather than kept: in a loop that needs all registers.
TL_INLINE uint32_t computed_anew(uint32_t number) {
    asm volatile("mov.u32 %0, %1;" : "=r"(number) : "r"(number));
    return number;
}

// What has been copied ahead arrives: all but the last `newer` batches, and then for all threads.
TL_INLINE void end_batch() { TL_TENSOR_CORES("cp.async.commit_group;" ::: "memory"); }
template <int newer>
TL_INLINE void arrived() {
    TL_TENSOR_CORES("cp.async.wait_group %0;" ::"n"(newer) : "memory");
    __syncthreads();
}

// Two floats as two neighbours of 16 bits, the first in the lower half.
template <typename T>
TL_INLINE uint32_t joined(float first, float second) {
    return T(first).bits | (uint32_t)T(second).bits << 16;
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
template <>
TL_INLINE uint32_t joined<f16>(float first, float second) {
    uint32_t both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}
template <>
TL_INLINE uint32_t joined<bf16>(float first, float second) {
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}
#endif

// Four 8 × 8 matrices: lane i tells where row i % 8 of matrix i / 8 is.
TL_INLINE void read_matrices(uint32_t (&to)[4], uint32_t row) {
    TL_TENSOR_CORES("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                    : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                    : "r"(row)
                    : "memory");
}
TL_INLINE void read_transposed(uint32_t (&to)[4], uint32_t row) {
    TL_TENSOR_CORES("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                    : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                    : "r"(row)
                    : "memory");
}

TL_INLINE uint32_t read_word(uint32_t place) {
    uint32_t word;
    TL_TENSOR_CORES("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(place) : "memory");
    return word;
}

// Copies 16 bytes, or writes zeros.
TL_INLINE void copy_pack(uint32_t to, const void* from, bool inside) {
    TL_TENSOR_CORES("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                    "r"(inside ? 16 : 0)
                    : "memory");
}
TL_INLINE uint32_t as_tf32(uint32_t bits) {
    TL_TENSOR_CORES("cvt.rna.tf32.f32 %0, %0;" : "+r"(bits));
    return bits;
}

template <typename T>
constexpr bool kIsHalf = false;
template <>
constexpr bool kIsHalf<f16> = true;

// Four matrices of 16 bytes a row as an operand; of float32, as four numbers a row, made TF32.
template <typename T>
TL_INLINE void read_operand(uint32_t (&to)[4], uint32_t row) {
    read_matrices(to, row);
    if constexpr (sizeof(T) == 4) {
#pragma unroll
        for (int i = 0; i < 4; ++i) to[i] = as_tf32(to[i]);
    }
}

template <typename T>
TL_INLINE void multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    if constexpr (sizeof(T) == 4)
        TL_TENSOR_CORES(
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
            "{%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    else if constexpr (kIsHalf<T>)
        TL_TENSOR_CORES(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
            "{%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    else
        TL_TENSOR_CORES(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, "
            "%7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace tl
