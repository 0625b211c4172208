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

// Rows of three voxels around the lane's: its own and those behind it in raster order, at (z, y), (z, y + 1), (z + 1, y - 1),
// (z + 1, y) and (z + 1, y + 1).
constexpr int Rows = 5, Around = 3 * Rows;

// The pair that the lane has met last, none where `other` is 0, and the greatest of the smaller distances.
struct Met {
    unsigned int other, label, squared;
};

__device__ __forceinline__ void add(const Pairs& pairs, Met met) {
    unsigned int* value = met.other == 0 ? nullptr : value_of(pairs, min(met.label, met.other), max(met.label, met.other));
    if (value != nullptr) {
        atomicMax(value, met.squared);
    }
}

// The three labels of a row, 0 where there is no such row.
__device__ __forceinline__ void load_labels(const Saddles& saddles, Shape at, unsigned int* labels) {
    labels[0] = labels[1] = labels[2] = 0;
    if (inside(saddles.shape, at)) {
        const unsigned int* row = saddles.labels + voxel(saddles.shape, {at.z, at.y, 0});
        load_three(labels, at.x, saddles.shape.x, [=](int x) { return row[x]; });
    }
}

// The squared distances of the lane's voxel and of those that `others` has labels for; what no lane asks for is not loaded. Lane
// 0 is at voxel `first` of the row.
__device__ __forceinline__ void load_squared(const Saddles& saddles, Shape at, int first, const unsigned int (&others)[Around],
                                             unsigned int (&squared)[Around]) {
    const bool wants_own = has_label(others);
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
            const Shape start = {at.z + (row + 4) / 3 - 1, at.y + (row + 4) % 3 - 1, 0};
            const unsigned int* from = saddles.squared + voxel(saddles.shape, start);
            load_three(squared + 3 * row, at.x, saddles.shape.x,
                       [=](int x) { return asked >> (x - first + 1) & 1 ? from[x] : 0; });
        }
    }
}

// Goes through the neighbours that have another label; 0 stands for all others.
__device__ __forceinline__ void meet(const Saddles& saddles, unsigned int label, unsigned int (&others)[Around],
                                     const unsigned int (&squared)[Around], Met& met) {
    while (has_label(others)) {
        unsigned int greatest = 0;
        const unsigned int other = take_label(others, [&](int n) { greatest = max(greatest, squared[n]); });
        if (other != met.other || label != met.label) {
            add(saddles.pairs, met);
            met = {other, label, 0};
        }
        met.squared = max(met.squared, min(squared[1], greatest));
    }
}

}  // namespace

// A warp takes 32 columns; a lane looks at the 13 neighbours behind each voxel in raster order. The next voxel of a column often
// has the same pair: the table is asked where the pair changes.
extern "C" __global__ void __launch_bounds__(256, 3) saddles(Saddles saddles) {
    const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), width = saddles.shape.x;
    if (column - lane() >= width) {
        return;
    }
    const int start = static_cast<int>(blockIdx.y) * Run, end = min(start + Run, saddles.shape.y);
    Shape at = {static_cast<int>(blockIdx.z), start, min(column, width - 1)};
    unsigned int labels[Around];
    load_labels(saddles, at, labels);
    load_labels(saddles, {at.z + 1, at.y - 1, at.x}, labels + 6);
    load_labels(saddles, {at.z + 1, at.y, at.x}, labels + 9);
    Met met = {};
    for (; at.y < end; at.y++) {
        load_labels(saddles, {at.z, at.y + 1, at.x}, labels + 3);
        load_labels(saddles, {at.z + 1, at.y + 1, at.x}, labels + 12);
        const unsigned int label = column < width ? labels[1] : 0;
        unsigned int others[Around];
#pragma unroll
        for (int n = 0; n < Around; n++) {
            const bool differs = n > 1 && label != 0 && labels[n] != label;
            others[n] = differs ? labels[n] : 0;
        }
        if (__any_sync(AllLanes, has_label(others))) {
            unsigned int squared[Around] = {};
            load_squared(saddles, at, column - lane(), others, squared);
            meet(saddles, label, others, squared, met);
        }
#pragma unroll
        for (int i = 0; i < 3; i++) {
            labels[i] = labels[3 + i];
            labels[6 + i] = labels[9 + i];
            labels[9 + i] = labels[12 + i];
        }
    }
    add(saddles.pairs, met);
}
