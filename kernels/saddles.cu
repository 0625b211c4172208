// Saddles between basins: labels [z][y][x] u32, squared distance [z][y][x] u32 -> for each pair of labels the greatest, over
// neighbouring voxels (26) with these labels, of the smaller distance.
#include <cstdint>

#include "common/grid.cuh"
#include "common/pairs.cuh"
#include "common/rows.cuh"

namespace {

struct Saddles {
    const unsigned int* labels;
    const unsigned int* squared;
    Pairs pairs;
    Shape shape;
};

// Rows of three voxels around the lane's: its own and those behind it in raster order.
constexpr int Rows = 5, Around = 3 * Rows;

// Where a row begins.
__device__ __forceinline__ Shape start_of(Shape at, int row) {
    return {at.z + (row + 4) / 3 - 1, at.y + (row + 4) % 3 - 1, 0};
}

// The labels of the rows, 0 where there is no voxel.
__device__ __forceinline__ void load_labels(const Saddles& saddles, Shape at, unsigned int (&found)[Around]) {
#pragma unroll
    for (int row = 0; row < Rows; row++) {
        const Shape start = start_of(at, row);
        if (inside(saddles.shape, start)) {
            const unsigned int* labels = saddles.labels + voxel(saddles.shape, start);
            load_three(found + 3 * row, at.x, saddles.shape.x, [=](int x) { return labels[x]; });
        }
    }
}

// The squared distances of the lane's voxel and of those that `others` has labels for; what no lane asks for is not loaded. Lane
// 0 is at voxel `first` of the row.
__device__ __forceinline__ void load_squared(const Saddles& saddles, Shape at, int first, const unsigned int (&others)[Around],
                                             bool wants_own, unsigned int (&squared)[Around]) {
#pragma unroll
    for (int row = 0; row < Rows; row++) {
        // Bit i stands for voxel `first - 1 + i`.
        unsigned long long asked = 0;
#pragma unroll
        for (int i = 0; i < 3; i++) {
            const bool wanted = others[3 * row + i] != 0 || (wants_own && row == 0 && i == 1);
            asked |= static_cast<unsigned long long>(__ballot_sync(AllLanes, wanted)) << i;
        }
        if (asked != 0) {
            const unsigned int* from = saddles.squared + voxel(saddles.shape, start_of(at, row));
            load_three(squared + 3 * row, at.x, saddles.shape.x,
                       [=](int x) { return asked >> (x - first + 1) & 1 ? from[x] : 0; });
        }
    }
}

}  // namespace

// A warp takes 32 voxels of a row, a lane looks at the 13 neighbours behind its voxel in raster order.
extern "C" __global__ void __launch_bounds__(256, 4) saddles(Saddles saddles) {
    const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), width = saddles.shape.x;
    if (column - lane() >= width) {
        return;
    }
    const Shape at = {static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y), min(column, width - 1)};
    unsigned int others[Around] = {}, squared[Around] = {};
    load_labels(saddles, at, others);
    const unsigned int label = column < width ? others[1] : 0;
#pragma unroll
    for (int n = 0; n < Around; n++) {
        const bool differs = n > 1 && label != 0 && others[n] != label;
        others[n] = differs ? others[n] : 0;
    }
    const bool is_at_saddle = has_label(others);
    if (!__any_sync(AllLanes, is_at_saddle)) {
        return;
    }
    load_squared(saddles, at, column - lane(), others, is_at_saddle, squared);
    while (has_label(others)) {
        unsigned int greatest = 0;
        const unsigned int other = take_label(others, [&](int n) { greatest = max(greatest, squared[n]); });
        unsigned int* value = value_of(saddles.pairs, min(label, other), max(label, other));
        if (value != nullptr) {
            atomicMax(value, min(squared[1], greatest));
        }
    }
}
