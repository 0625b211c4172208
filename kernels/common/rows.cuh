// Rows of a volume, whose neighbouring voxels are neighbouring lanes': the nearest marked voxel before and behind every voxel,
// and the values of the two beside it.
#pragma once

constexpr int RowThreads = 256;
constexpr unsigned int AllLanes = 0xFFFFFFFFu;

__device__ __forceinline__ int lane() { return threadIdx.x % 32; }

__device__ __forceinline__ long long row_of_warp() {
    return static_cast<long long>(blockIdx.x) * (RowThreads / 32) + threadIdx.x / 32;
}

// Of the 32 voxels from `first` on, the last marked one that is not behind the lane's; `before` where there is none.
__device__ __forceinline__ int last_up_to_lane(bool marked, int first, int before) {
    const unsigned int found = __ballot_sync(AllLanes, marked) & (AllLanes >> (31 - lane()));
    return found == 0 ? before : first + 31 - __clz(found);
}

// Of the 32 voxels from `first` on, the first marked one that is not before the lane's; `behind` where there is none.
__device__ __forceinline__ int first_from_lane(bool marked, int first, int behind) {
    const unsigned int found = __ballot_sync(AllLanes, marked) & (AllLanes << lane());
    return found == 0 ? behind : first + __ffs(found) - 1;
}

// Voxels along y that a lane looks at, one after the other, where kernels are launched `in_runs` (src/ops/cuda/mod.rs).
constexpr int Run = 8;

// The three values at x - 1, x and x + 1: each lane loads its own and gets the others from the lanes beside; the outermost lanes
// load theirs. Lanes behind the row's end have to stand at its last voxel. At a face the lane's own value stands in for the one
// that is lacking.
template <class Load>
__device__ __forceinline__ void load_three(unsigned int* values, int x, int width, Load load) {
    values[1] = load(x);
    values[0] = __shfl_up_sync(AllLanes, values[1], 1);
    values[2] = __shfl_down_sync(AllLanes, values[1], 1);
    if (lane() == 0 && x > 0) {
        values[0] = load(x - 1);
    }
    if (lane() == 31 && x + 1 < width) {
        values[2] = load(x + 1);
    }
}
