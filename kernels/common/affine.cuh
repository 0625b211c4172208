// Four neighbouring channels: fused multiply-adds, and batch norm folded into one of them with the ReLU behind it.
#pragma once

__device__ __forceinline__ float relu_affine(float value, float scale, float shift) {
    return fmaxf(fmaf(value, scale, shift), 0.0f);
}

// Four channels from `channel` on; `affine` is scale [channels], shift [channels].
__device__ __forceinline__ float4 relu_affine(float4 value, const float* affine, int channels, int channel) {
    const float4 scale = __ldg(reinterpret_cast<const float4*>(affine + channel));
    const float4 shift = __ldg(reinterpret_cast<const float4*>(affine + channels + channel));
    return make_float4(relu_affine(value.x, scale.x, shift.x), relu_affine(value.y, scale.y, shift.y),
                       relu_affine(value.z, scale.z, shift.z), relu_affine(value.w, scale.w, shift.w));
}

__device__ __forceinline__ float4 operator+(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// `sum += value * weight`
__device__ __forceinline__ void multiply_add(float4& sum, float value, float4 weight) {
    sum.x = fmaf(value, weight.x, sum.x);
    sum.y = fmaf(value, weight.y, sum.y);
    sum.z = fmaf(value, weight.z, sum.z);
    sum.w = fmaf(value, weight.w, sum.w);
}
