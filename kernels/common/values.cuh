// Neighbouring channels in f32 or bf16, as floats: a word of memory, 16 bytes of it, or four channels.
#pragma once
#include "half8.cuh"

// Channels in 4 bytes, and in 16.
template <class Value>
constexpr int InWord = 4 / sizeof(Value);
template <class Value>
constexpr int InUnit = 16 / sizeof(Value);

__device__ __forceinline__ void load_word(const float* from, float (&to)[1]) { to[0] = *from; }

__device__ __forceinline__ void load_word(const __nv_bfloat16* from, float (&to)[2]) {
    const float2 pair = Word<__nv_bfloat16>::to_floats(*reinterpret_cast<const unsigned*>(from));
    to[0] = pair.x, to[1] = pair.y;
}

__device__ __forceinline__ void load_unit(const float* from, float (&to)[4]) {
    const float4 values = *reinterpret_cast<const float4*>(from);
    to[0] = values.x, to[1] = values.y, to[2] = values.z, to[3] = values.w;
}

__device__ __forceinline__ void load_unit(const __nv_bfloat16* from, float (&to)[8]) {
    to_floats<__nv_bfloat16>(*reinterpret_cast<const uint4*>(from), to);
}

__device__ __forceinline__ void store_unit(float* to, const float (&values)[4]) {
    *reinterpret_cast<float4*>(to) = make_float4(values[0], values[1], values[2], values[3]);
}

__device__ __forceinline__ void store_unit(__nv_bfloat16* to, const float (&values)[8]) {
    *reinterpret_cast<uint4*>(to) = to_halves<__nv_bfloat16>(values);
}

__device__ __forceinline__ void store_four(float* to, float4 values) { *reinterpret_cast<float4*>(to) = values; }

__device__ __forceinline__ void store_four(__nv_bfloat16* to, float4 values) {
    *reinterpret_cast<uint2*>(to) =
        make_uint2(Word<__nv_bfloat16>::of(values.x, values.y), Word<__nv_bfloat16>::of(values.z, values.w));
}

// Parameters of as many neighbouring channels: one, two or a multiple of four.
template <int Count>
__device__ __forceinline__ void load_parameters(const float* from, float (&to)[Count]) {
    if constexpr (Count == 1) {
        to[0] = __ldg(from);
    } else if constexpr (Count == 2) {
        const float2 values = __ldg(reinterpret_cast<const float2*>(from));
        to[0] = values.x, to[1] = values.y;
    } else {
#pragma unroll
        for (int i = 0; i < Count; i += 4) {
            const float4 values = __ldg(reinterpret_cast<const float4*>(from + i));
            to[i] = values.x, to[i + 1] = values.y, to[i + 2] = values.z, to[i + 3] = values.w;
        }
    }
}
