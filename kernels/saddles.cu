// Saddles between basins: labels [z][y][x] u32, squared distance [z][y][x] u32 -> for each pair of labels the greatest, over
// neighbouring voxels (26) with these labels, of the smaller distance.
#include <cstdint>

#include "common/grid.cuh"
#include "common/pairs.cuh"

namespace {

struct Saddles {
    const unsigned int* labels;
    const unsigned int* squared;
    Pairs pairs;
    Shape shape;
};

}  // namespace

// A thread looks at the 13 neighbours behind its voxel in raster order.
extern "C" __global__ void __launch_bounds__(256, 4) saddles(Saddles saddles) {
    const Shape at = {static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y),
                      static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x)};
    if (!inside(saddles.shape, at)) {
        return;
    }
    const long long number = voxel(saddles.shape, at);
    const unsigned int label = saddles.labels[number];
    if (label == 0) {
        return;
    }
#pragma unroll
    for (int place = 14; place < 27; place++) {
        const Shape other = {at.z + place / 9 - 1, at.y + place / 3 % 3 - 1, at.x + place % 3 - 1};
        if (!inside(saddles.shape, other)) {
            continue;
        }
        const long long neighbour = voxel(saddles.shape, other);
        const unsigned int found = saddles.labels[neighbour];
        if (found != 0 && found != label) {
            unsigned int* value = value_of(saddles.pairs, min(label, found), max(label, found));
            if (value != nullptr) {
                atomicMax(value, min(saddles.squared[number], saddles.squared[neighbour]));
            }
        }
    }
}
