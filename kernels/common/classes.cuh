// The classes of a voxel: 0 background, 1 membrane, 2 foreground.
#pragma once
#include <cstdint>

// The probability of the class that has `logit`, by the softmax of the three in the order of src/ops/softmax.rs.
__device__ __forceinline__ float probability(float logit, float background, float membrane, float foreground) {
    const float top = fmaxf(fmaxf(background, membrane), foreground);
    const float sum = expf(background - top) + expf(membrane - top) + expf(foreground - top);
    return expf(logit - top) / sum;
}

// The one of the greatest logit, the lower class on a tie.
__device__ __forceinline__ uint8_t most_probable(float background, float membrane, float foreground) {
    const bool walled = membrane > background;
    return foreground > (walled ? membrane : background) ? 2 : walled;
}
