// Size and first voxel of every labelled region: labels [z][y][x] u32 -> voxels and least linear index of label n, at n - 1.
#include <cstdint>

#include "common/rows.cuh"

namespace {

struct Regions {
    const unsigned int* labels;
    unsigned int* sizes;   // [count], begins with 0
    unsigned int* firsts;  // [count], begins with 0; 2^32 - 1 less the number of the first voxel
    long long voxels;
};

}  // namespace

// The first lane of a run of equal labels speaks for the run.
extern "C" __global__ void __launch_bounds__(256) regions(Regions regions) {
    const long long number = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const unsigned int label = number < regions.voxels ? regions.labels[number] : 0;
    const unsigned int before = __shfl_up_sync(AllLanes, label, 1);
    const bool begins = lane() == 0 || label != before;
    const unsigned int starts = __ballot_sync(AllLanes, begins);
    if (begins && label != 0) {
        const unsigned int later = starts & ~(AllLanes >> (31 - lane()));
        const unsigned int length = (later == 0 ? 32 : __ffs(later) - 1) - lane();
        atomicAdd(regions.sizes + label - 1, length);
        atomicMax(regions.firsts + label - 1, ~static_cast<unsigned int>(number));
    }
}
