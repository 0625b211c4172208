// Voxels as they are stored, and what the network is given for them.
#pragma once
#include <cstdint>

struct Grey {
    const void* values;   // [z][y][x]
    long long size;       // bytes of a voxel: 1 is u8, 2 is u16, 4 is f32
    float offset, scale;  // x becomes (x - offset) * scale

    __device__ float operator[](long long i) const { return scaled(stored(i)); }

    // Never a fused multiply-add, also where more is added.
    __device__ float scaled(float value) const { return __fmul_rn(__fsub_rn(value, offset), scale); }

    __device__ float stored(long long i) const {
        switch (size) {
            case 1:
                return static_cast<const uint8_t*>(values)[i];
            case 2:
                return static_cast<const uint16_t*>(values)[i];
            default:
                return static_cast<const float*>(values)[i];
        }
    }

    // Calls `work` with the values as what they are, so that a loop does not ask for it at each of them.
    template <class Work>
    __device__ __forceinline__ void as_stored(Work work) const {
        switch (size) {
            case 1:
                return work(static_cast<const uint8_t*>(values));
            case 2:
                return work(static_cast<const uint16_t*>(values));
            default:
                return work(static_cast<const float*>(values));
        }
    }
};
