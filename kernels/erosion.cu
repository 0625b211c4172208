// Erosion by the 3x3x3 cube: classes [z][y][x] u8 -> 1 where a voxel and all of its neighbours inside the volume have the
// class, else 0. The volume's faces do not erode.
//
// A block of threads goes up a column of 32x8 voxels. It holds one plane at a time, border included, in shared memory; what
// the planes below, at and above a voxel say stays in registers.
#include <cstdint>

#include "common/grid.cuh"

namespace {

constexpr int TileX = 32, TileY = 8, Planes = 32;
constexpr int InX = TileX + 2, InY = TileY + 2;

struct Erosion {
    const uint8_t* classes;
    uint8_t* kept;
    Shape shape;
    int wanted;
};

// Whether the voxel has the class; what lies beyond the faces has it.
__device__ __forceinline__ bool has_class(const Erosion& erosion, Shape at) {
    return !inside(erosion.shape, at) || erosion.classes[voxel(erosion.shape, at)] == erosion.wanted;
}

// Whether all nine voxels of plane z around the thread's have the class.
__device__ bool all_in_plane(const Erosion& erosion, bool (&plane)[InY][InX], Shape origin, int z) {
    __syncthreads();
    for (int i = threadIdx.x; i < InX * InY; i += TileX * TileY) {
        const Shape at = {z, origin.y - 1 + i / InX, origin.x - 1 + i % InX};
        plane[i / InX][i % InX] = has_class(erosion, at);
    }
    __syncthreads();
    const int y = threadIdx.x / TileX, x = threadIdx.x % TileX;
    bool all = true;
#pragma unroll
    for (int i = 0; i < 9; i++) {
        all = all && plane[y + i / 3][x + i % 3];
    }
    return all;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(TileX * TileY) erosion(Erosion erosion) {
    __shared__ bool plane[InY][InX];
    const Shape origin = {static_cast<int>(blockIdx.z) * Planes, static_cast<int>(blockIdx.y) * TileY,
                          static_cast<int>(blockIdx.x) * TileX};
    const int y = origin.y + static_cast<int>(threadIdx.x) / TileX, x = origin.x + static_cast<int>(threadIdx.x) % TileX;
    const int end = min(origin.z + Planes, erosion.shape.z);
    bool below = all_in_plane(erosion, plane, origin, origin.z - 1);
    bool here = all_in_plane(erosion, plane, origin, origin.z);
    for (int z = origin.z; z < end; z++) {
        const bool above = all_in_plane(erosion, plane, origin, z + 1);
        if (inside(erosion.shape, {z, y, x})) {
            erosion.kept[voxel(erosion.shape, {z, y, x})] = below && here && above;
        }
        below = here;
        here = above;
    }
}
