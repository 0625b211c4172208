// Eight neighbouring channels in f16, 16 bytes of memory, and in f32.
#pragma once
#include <cuda_fp16.h>

#include "affine.cuh"

__device__ __forceinline__ void to_floats(uint4 packed, float (&values)[8]) {
    const unsigned words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 pair = __half22float2(*reinterpret_cast<const __half2*>(&words[i]));
        values[2 * i] = pair.x;
        values[2 * i + 1] = pair.y;
    }
}

// The nearest f16; beyond its range the greatest, so that no infinity arises.
__device__ __forceinline__ __half to_half(float value) { return __float2half_rn(fminf(fmaxf(value, -65504.0f), 65504.0f)); }

__device__ __forceinline__ unsigned to_word(float low, float high) {
    const __half2 pair = __halves2half2(to_half(low), to_half(high));
    return *reinterpret_cast<const unsigned*>(&pair);
}

__device__ __forceinline__ uint4 to_halves(const float (&values)[8]) {
    return make_uint4(to_word(values[0], values[1]), to_word(values[2], values[3]), to_word(values[4], values[5]),
                      to_word(values[6], values[7]));
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

__device__ __forceinline__ void add(float (&values)[8], uint4 packed) {
    float others[8];
    to_floats(packed, others);
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
