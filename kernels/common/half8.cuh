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

    // With the ReLU before it.
    static __device__ __forceinline__ unsigned of_positive(float low, float high) {
#if __CUDA_ARCH__ >= 800
        const __half2 limit = __floats2half2_rn(65504.0f, 65504.0f), zero = __floats2half2_rn(0.0f, 0.0f);
        const __half2 pair = __hmin2(__hmax2(__floats2half2_rn(low, high), zero), limit);
        return *reinterpret_cast<const unsigned*>(&pair);
#else
        return of(fmaxf(low, 0.0f), fmaxf(high, 0.0f));
#endif
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

    static __device__ __forceinline__ unsigned of_positive(float low, float high) {
        return of(fmaxf(low, 0.0f), fmaxf(high, 0.0f));
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

// With the ReLU before it.
template <class Half>
__device__ __forceinline__ uint4 to_positive_halves(const float (&values)[8]) {
    return make_uint4(Word<Half>::of_positive(values[0], values[1]), Word<Half>::of_positive(values[2], values[3]),
                      Word<Half>::of_positive(values[4], values[5]), Word<Half>::of_positive(values[6], values[7]));
}

// The scale and shift of eight channels.
struct Affine8 {
    float4 scale[2], shift[2];

    // Those from `channel` on of scale [channels], shift [channels].
    static __device__ __forceinline__ Affine8 of(const float* affine, int channels, int channel) {
        const float4* const scales = reinterpret_cast<const float4*>(affine + channel);
        const float4* const shifts = reinterpret_cast<const float4*>(affine + channels + channel);
        return {{__ldg(scales), __ldg(scales + 1)}, {__ldg(shifts), __ldg(shifts + 1)}};
    }

    __device__ __forceinline__ void relu(float (&values)[8]) const {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float* const four = values + 4 * i;
            four[0] = relu_affine(four[0], scale[i].x, shift[i].x);
            four[1] = relu_affine(four[1], scale[i].y, shift[i].y);
            four[2] = relu_affine(four[2], scale[i].z, shift[i].z);
            four[3] = relu_affine(four[3], scale[i].w, shift[i].w);
        }
    }
};

// The bias of eight channels, zero where there is none.
struct Bias8 {
    float4 bias[2];

    __device__ __forceinline__ Bias8(const float* all, int channel) {
        bias[0] = bias[1] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (all) {
            const float4* const biases = reinterpret_cast<const float4*>(all + channel);
            bias[0] = __ldg(biases), bias[1] = __ldg(biases + 1);
        }
    }

    __device__ __forceinline__ void add(float (&values)[8]) const {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float* const four = values + 4 * i;
            four[0] += bias[i].x, four[1] += bias[i].y, four[2] += bias[i].z, four[3] += bias[i].w;
        }
    }
};

template <class Half>
__device__ __forceinline__ void add(float (&values)[8], uint4 packed) {
    float others[8];
    to_floats<Half>(packed, others);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        values[i] += others[i];
    }
}
