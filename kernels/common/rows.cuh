// Rows of a volume, a warp each: the nearest marked voxel before and behind every voxel.
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
