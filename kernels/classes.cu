// The most probable class of every voxel: logits [voxel][3] f32 -> [voxel] u8, the lower class on a tie.
#include <cstdint>

namespace {

struct Classes {
    const float* logits;
    uint8_t* classes;
    long long voxels;
};

}  // namespace

extern "C" __global__ void __launch_bounds__(256) classes(Classes classes) {
    const long long voxel = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (voxel < classes.voxels) {
        const float* logits = classes.logits + 3 * voxel;
        const float background = logits[0], membrane = logits[1], foreground = logits[2];
        const bool walled = membrane > background;
        classes.classes[voxel] = foreground > (walled ? membrane : background) ? 2 : walled;
    }
}
