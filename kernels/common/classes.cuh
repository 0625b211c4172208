// The classes of a voxel: 0 background, 1 membrane, 2 foreground.
#pragma once
#include <cstdint>

constexpr int Classes = 3;

// e^x of x <= 0 by the operations of src/ops/softmax.rs, each rounded as there.
__device__ __forceinline__ float exp_of_negative(float x) {
    constexpr float Series[] = {1.0f / 5040.0f, 1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f};
    const float n = floorf(__fadd_rn(__fmul_rn(x, 1.44269504f), 0.5f));
    const float r = __fsub_rn(__fsub_rn(x, __fmul_rn(n, 355.0f / 512.0f)), __fmul_rn(n, -2.1219444e-4f));
    float sum = Series[0];
#pragma unroll
    for (int i = 1; i < 8; i++) {
        sum = __fadd_rn(__fmul_rn(sum, r), Series[i]);
    }
    const float power = __int_as_float(static_cast<int>((static_cast<unsigned>(__float2int_rz(n)) + 127u) << 23));
    return x < -86.0f ? 0.0f : __fmul_rn(sum, power);
}

// The logits of a voxel become its probabilities.
__device__ __forceinline__ void softmax(float (&values)[Classes]) {
    const float top = fmaxf(fmaxf(values[0], values[1]), values[2]);
    float sum = 0.0f;
#pragma unroll
    for (float& value : values) {
        value = exp_of_negative(value - top);
        sum += value;
    }
#pragma unroll
    for (float& value : values) {
        value /= sum;
    }
}

// As above where lanes 0 to 2 of each four have the logits: the probability of the lane's class.
__device__ __forceinline__ float lane_softmax(float logit) {
    const auto of = [](float value, int which) { return __shfl_sync(~0u, value, which, 4); };
    const float top = fmaxf(fmaxf(of(logit, 0), of(logit, 1)), of(logit, 2));
    const float power = exp_of_negative(logit - top);
    return power / (of(power, 0) + of(power, 1) + of(power, 2));
}

// The probability of one class.
__device__ __forceinline__ float probability(int which, float background, float membrane, float foreground) {
    float values[Classes] = {background, membrane, foreground};
    softmax(values);
    return which == 0 ? values[0] : which == 1 ? values[1] : values[2];
}

// The one of the greatest logit, the lower class on a tie.
__device__ __forceinline__ uint8_t most_probable(float background, float membrane, float foreground) {
    const bool walled = membrane > background;
    return foreground > (walled ? membrane : background) ? 2 : walled;
}
