// Every voxel of the tissue gets the label of the nearest cell voxel, ties going to the smaller label: labels [z][y][x] u32
// (0 free), classes [z][y][x] u8 (0 background) -> labels.
//
// A voxel's best so far is `squared distance << 32 | label`, of which the smaller is better. One pass along each axis, as in
// distance.cu.
#include <cstdint>

#include "common/grid.cuh"
#include "common/rows.cuh"

namespace {

typedef unsigned long long Best;

// No labelled voxel seen.
constexpr Best None = ~0ull;

struct AlongRows {
    const unsigned int* labels;
    Best* best;
    long long rows;
    int width;
    unsigned int step;  // squared length of a step along x
};

struct AlongColumns {
    const Best* input;
    Best* output;            // null where this is the last pass
    unsigned int* labels;    // of the last pass
    const uint8_t* classes;  // of the last pass
    long long voxels;
    long long stride;   // voxels from one of the column to the next
    int length;         // voxels of the column
    unsigned int step;  // squared length of a step along the column
};

__device__ __forceinline__ Best with(unsigned int away, unsigned int label) {
    return static_cast<Best>(away) << 32 | label;
}

__device__ __forceinline__ Best farther(Best best, unsigned int longer) {
    return best == None ? None : best + (static_cast<Best>(longer) << 32);
}

__device__ Best nearest_in_column(const AlongColumns& along, long long number) {
    const int place = static_cast<int>(number / along.stride % along.length);
    Best best = along.input[number];
    for (int away = 1; away <= place || place + away < along.length; away++) {
        const unsigned int longer = along.step * away * away;
        if (longer > best >> 32) {
            break;
        }
        if (place >= away) {
            best = min(best, farther(along.input[number - away * along.stride], longer));
        }
        if (place + away < along.length) {
            best = min(best, farther(along.input[number + away * along.stride], longer));
        }
    }
    return best;
}

}  // namespace

// A warp takes a row. What the labels before a voxel offer waits in `best` for those behind it.
extern "C" __global__ void __launch_bounds__(RowThreads) nearest_cell_along_rows(AlongRows along) {
    const long long row = row_of_warp();
    if (row >= along.rows) {
        return;
    }
    const unsigned int* labels = along.labels + row * along.width;
    Best* best = along.best + row * along.width;
    int before = -1;
    unsigned int label_before = 0;
    for (int first = 0; first < along.width; first += 32) {
        const int x = first + lane();
        const unsigned int label = x < along.width ? labels[x] : 0;
        const int left = last_up_to_lane(label != 0, first, before);
        const unsigned int in_warp = __shfl_sync(AllLanes, label, max(left - first, 0));
        const unsigned int label_left = left >= first ? in_warp : label_before;
        if (x < along.width) {
            best[x] = left < 0 ? None : with(x - left, label_left);
        }
        before = __shfl_sync(AllLanes, left, 31);
        label_before = __shfl_sync(AllLanes, label_left, 31);
    }
    int behind = along.width;
    unsigned int label_behind = 0;
    for (int first = (along.width - 1) / 32 * 32; first >= 0; first -= 32) {
        const int x = first + lane();
        const unsigned int label = x < along.width ? labels[x] : 0;
        const int right = first_from_lane(label != 0, first, behind);
        const unsigned int in_warp = __shfl_sync(AllLanes, label, min(right - first, 31));
        const unsigned int label_right = right < first + 32 ? in_warp : label_behind;
        if (x < along.width) {
            const Best nearest = right < along.width ? min(best[x], with(right - x, label_right)) : best[x];
            const unsigned int away = static_cast<unsigned int>(nearest >> 32);
            best[x] = nearest == None ? None : with(along.step * away * away, static_cast<unsigned int>(nearest));
        }
        behind = __shfl_sync(AllLanes, right, 0);
        label_behind = __shfl_sync(AllLanes, label_right, 0);
    }
}

extern "C" __global__ void __launch_bounds__(256) nearest_cell_along_columns(AlongColumns along) {
    const long long number = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (number >= along.voxels) {
        return;
    }
    if (along.output != nullptr) {
        along.output[number] = nearest_in_column(along, number);
        return;
    }
    if (along.classes[number] != 0) {
        const Best best = nearest_in_column(along, number);
        along.labels[number] = best == None ? 0 : static_cast<unsigned int>(best);
    }
}
