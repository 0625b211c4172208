// The instructions of tensor cores, and what brings their operands: in the form of compute capability 7.5 or 8.0.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "vectors.cuh"

// A 16x16 matrix of 16-bit values as mma wants its first operand; each lane names one of the 32 half rows.
__device__ __forceinline__ void load_matrix(unsigned (&to)[4], const uint4* half_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(half_row))
                 : "memory");
}

// The same with each 8x8 quarter transposed.
__device__ __forceinline__ void load_matrix_transposed(unsigned (&to)[4], const uint4* half_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(half_row))
                 : "memory");
}

// `sum += a b`: 16x8 times 8x8.
template <class Half>
__device__ __forceinline__ void multiply(float (&sum)[4], const unsigned (&a)[2], unsigned b);

// `sum += a b`: 16x16 times 16x8. At 7.5 two products of 8 channels each.
template <class Half>
__device__ __forceinline__ void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);

template <>
__device__ __forceinline__ void multiply<__half>(float (&sum)[4], const unsigned (&a)[2], unsigned b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b));
}

template <>
__device__ __forceinline__ void multiply<__half>(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    multiply<__half>(sum, {a[0], a[1]}, b0);
    multiply<__half>(sum, {a[2], a[3]}, b1);
#endif
}

#if __CUDA_ARCH__ >= 800
template <>
__device__ __forceinline__ void multiply<__nv_bfloat16>(float (&sum)[4], const unsigned (&a)[2], unsigned b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b));
}

template <>
__device__ __forceinline__ void multiply<__nv_bfloat16>(float (&sum)[4], const unsigned (&a)[4], unsigned b0,
                                                        unsigned b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

#if __CUDA_ARCH__ >= 800
// 16 bytes on their way to shared memory while the block computes; zeros where there is nothing to be read.
__device__ __forceinline__ void copy_async(uint4* to, const uint4* from, bool is_there = true) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(is_there ? 16 : 0)
                 : "memory");
}

// Ends a group of copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for all groups of the thread's copies but the last Pending.
template <int Pending = 0>
__device__ __forceinline__ void await_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}
#endif
