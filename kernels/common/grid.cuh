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
    const auto within = [](int place, int end) { return static_cast<unsigned>(place) < static_cast<unsigned>(end); };
    return within(at.z, extent.z) && within(at.y, extent.y) && within(at.x, extent.x);
}

// The voxel of a thread where kernels are launched `in_rows` (src/ops/cuda/mod.rs); there may be none behind a row's end.
__device__ __forceinline__ Shape place_of_thread() {
    return {static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y),
            static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x)};
}

// How far apart neighbouring voxels of Channels values lie. To add up the way from one voxel to another takes a few 32-bit
// instructions, `voxel` many 64-bit ones.
template <int Channels>
struct Strides {
    long long plane;
    int row;

    __device__ explicit Strides(Shape extent)
        : plane(static_cast<long long>(extent.y) * extent.x * Channels), row(extent.x * Channels) {}

    // Values from one voxel to that so far behind it.
    __device__ __forceinline__ long long to(Shape way) const {
        return way.z * plane + static_cast<long long>(way.y) * row + way.x * Channels;
    }
};

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
template <class Value, class Weight = Value>
struct Convolution {
    const Value* input;     // [z][y][x][cin]
    const Weight* weights;  // packed as the kernel wants it
    const float* prologue;  // scale [cin], shift [cin]
    const float* epilogue;  // bias [cout]; or scale [cout], shift [cout]
    const Value* skip;      // [z][y][x][cout]
    void* output;           // [z][y][x][cout]
    Shape in, out;
};
