// Exact squared distance to the nearest voxel outside a set, in integers: classes [z][y][x] u8 -> [z][y][x] u32, 0 outside.
// What lies beyond the volume's faces is outside.
//
// One pass along each axis. Along y and z a thread looks at ever farther voxels of its column until no one of them can be
// nearer: as many as the distance that it finds, and neighbouring threads read neighbouring voxels.
#include <cstdint>

#include "common/grid.cuh"
#include "common/rows.cuh"

namespace {

struct AlongRows {
    const uint8_t* classes;
    unsigned int* squared;
    long long rows;
    int width;
    int wanted;
    unsigned int step;  // squared length of a step along x
};

struct AlongColumns {
    const unsigned int* input;
    unsigned int* output;
    long long voxels;
    long long stride;   // voxels from one of the column to the next
    int length;         // voxels of the column
    unsigned int step;  // squared length of a step along the column
};

}  // namespace

// A warp takes a row.
extern "C" __global__ void __launch_bounds__(RowThreads) distance_along_rows(AlongRows along) {
    const long long row = row_of_warp();
    if (row >= along.rows) {
        return;
    }
    const uint8_t* classes = along.classes + row * along.width;
    unsigned int* squared = along.squared + row * along.width;
    int before = -1;
    for (int first = 0; first < along.width; first += 32) {
        const int x = first + lane();
        const bool outside = x >= along.width || classes[x] != along.wanted;
        const int left = last_up_to_lane(outside, first, before);
        if (x < along.width) {
            squared[x] = x - left;
        }
        before = __shfl_sync(AllLanes, left, 31);
    }
    int behind = along.width;
    for (int first = (along.width - 1) / 32 * 32; first >= 0; first -= 32) {
        const int x = first + lane();
        const unsigned int left = x < along.width ? squared[x] : 0;
        const int right = first_from_lane(left == 0, first, behind);
        if (x < along.width) {
            const unsigned int away = min(left, static_cast<unsigned int>(right - x));
            squared[x] = along.step * away * away;
        }
        behind = __shfl_sync(AllLanes, right, 0);
    }
}

extern "C" __global__ void __launch_bounds__(256) distance_along_columns(AlongColumns along) {
    const long long number = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (number >= along.voxels) {
        return;
    }
    const int place = static_cast<int>(number / along.stride % along.length);
    unsigned int best = along.input[number];
    for (int away = 1;; away++) {
        const unsigned int longer = along.step * away * away;
        if (longer >= best) {
            break;
        }
        const unsigned int before = place >= away ? along.input[number - away * along.stride] : 0;
        const unsigned int behind = place + away < along.length ? along.input[number + away * along.stride] : 0;
        best = min(best, longer + min(before, behind));
    }
    along.output[number] = best;
}
