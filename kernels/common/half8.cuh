// Eight neighbouring channels in f16 or bf16 (`Half`), 16 bytes of memory, and in f32.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "affine.cuh"

// Two values of a format in a word, the first one in its lower half.
template <class Half>
struct Word;

template <>
struct Word<__half> {
    static __device__ __forceinline__ float2 to_floats(unsigned word) {
        return __half22float2(*reinterpret_cast<const __half2*>(&word));
    }

    // The nearest f16; beyond its range the greatest, so that no infinity arises.
    static __device__ __forceinline__ __half nearest(float value) {
        return __float2half_rn(fminf(fmaxf(value, -65504.0f), 65504.0f));
    }

    static __device__ __forceinline__ unsigned of(float low, float high) {
        const __half2 pair = __halves2half2(nearest(low), nearest(high));
        return *reinterpret_cast<const unsigned*>(&pair);
    }
};

// The upper half of an f32, whose range it has.
template <>
struct Word<__nv_bfloat16> {
    static __device__ __forceinline__ float2 to_floats(unsigned word) {
        return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
    }

    static __device__ __forceinline__ unsigned of(float low, float high) {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
        return *reinterpret_cast<const unsigned*>(&pair);
    }
};

template <class Half>
__device__ __forceinline__ void to_floats(uint4 packed, float (&values)[8]) {
    const unsigned words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 pair = Word<Half>::to_floats(words[i]);
        values[2 * i] = pair.x;
        values[2 * i + 1] = pair.y;
    }
}

template <class Half>
__device__ __forceinline__ uint4 to_halves(const float (&values)[8]) {
    return make_uint4(Word<Half>::of(values[0], values[1]), Word<Half>::of(values[2], values[3]),
                      Word<Half>::of(values[4], values[5]), Word<Half>::of(values[6], values[7]));
}

// Channels `channel`.. of scale [channels], shift [channels].
__device__ __forceinline__ void relu_affine(float (&values)[8], const float* affine, int channels, int channel) {
#pragma unroll
    for (int i = 0; i < 8; i += 4) {
        const float4 four = make_float4(values[i], values[i + 1], values[i + 2], values[i + 3]);
        const float4 result = relu_affine(four, affine, channels, channel + i);
        values[i] = result.x, values[i + 1] = result.y, values[i + 2] = result.z, values[i + 3] = result.w;
    }
}

template <class Half>
__device__ __forceinline__ void add(float (&values)[8], uint4 packed) {
    float others[8];
    to_floats<Half>(packed, others);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        values[i] += others[i];
    }
}

// The bias of each.
__device__ __forceinline__ void add(float (&values)[8], const float* bias) {
#pragma unroll
    for (int i = 0; i < 8; i += 4) {
        const float4 four = __ldg(reinterpret_cast<const float4*>(bias + i));
        values[i] += four.x, values[i + 1] += four.y, values[i + 2] += four.z, values[i + 3] += four.w;
    }
}
