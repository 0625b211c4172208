// Volumes on the device: channels-last, `[z][y][x][channel]`, x fastest but for the channels, without any border.
#pragma once

// Extents or a place: z, y, x.
struct Shape {
    int z, y, x;
};

// Number of the voxel in memory order; 64 bits, since a block may exceed 2^31 values.
__device__ __forceinline__ long long voxel(Shape extent, Shape at) {
    return (static_cast<long long>(at.z) * extent.y + at.y) * extent.x + at.x;
}

// Whether there is such a voxel; the others are the convolutions' zero padding.
__device__ __forceinline__ bool inside(Shape extent, Shape at) {
    return 0 <= at.z && at.z < extent.z && 0 <= at.y && at.y < extent.y && 0 <= at.x && at.x < extent.x;
}

// The prologue of an input that is taken as it is.
struct Same {
    template <class Value>
    __device__ Value operator()(Value value, int) const {
        return value;
    }
};

template <class Prologue>
constexpr bool is_same = false;
template <>
constexpr bool is_same<Same> = true;

// What a convolution is launched with (`Arguments` in src/device/cuda/convolution.rs). Pointers that a kernel has no use
// for are null.
template <class Value>
struct Convolution {
    const Value* input;     // [z][y][x][cin]
    const Value* weights;   // packed as the kernel wants it
    const float* prologue;  // scale [cin], shift [cin]
    const float* epilogue;  // bias [cout]; or scale [cout], shift [cout]
    const Value* skip;      // [z][y][x][cout]
    void* output;           // [z][y][x][cout]
    Shape in, out;
};
