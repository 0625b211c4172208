// The classes of a voxel: 0 background, 1 membrane, 2 foreground.
#pragma once
#include <cstdint>

// The one of the greatest logit, the lower class on a tie.
__device__ __forceinline__ uint8_t most_probable(float background, float membrane, float foreground) {
    const bool walled = membrane > background;
    return foreground > (walled ? membrane : background) ? 2 : walled;
}
