// What the six faces of a voxel border on: classes [z][y][x] u8.
#pragma once
#include <cstdint>

#include "grid.cuh"

constexpr int Background = 0, Membrane = 1, Foreground = 2, Outside = 3;

// The class of a voxel; Outside where there is none.
__device__ __forceinline__ int class_at(const uint8_t* classes, Shape shape, Shape at) {
    return inside(shape, at) ? classes[voxel(shape, at)] : Outside;
}

// The sum of `weight` over the classes beyond the faces of a voxel.
template <class Weight>
__device__ __forceinline__ int around(const uint8_t* classes, Shape shape, Shape at, Weight weight) {
    const auto beyond = [&](int z, int y, int x) { return weight(class_at(classes, shape, {at.z + z, at.y + y, at.x + x})); };
    return beyond(-1, 0, 0) + beyond(1, 0, 0) + beyond(0, -1, 0) + beyond(0, 1, 0) + beyond(0, 0, -1) + beyond(0, 0, 1);
}
