// Faces of every labelled region of the foreground to background less those to membrane: labels [z][y][x] u32, classes
// [z][y][x] u8 -> the sum of label n, at n - 1.
#include <cstdint>

#include "common/faces.cuh"
#include "common/grid.cuh"

namespace {

struct Exposure {
    const unsigned int* labels;
    const uint8_t* classes;
    unsigned long long* exposures;  // [count], begins with 0; two's complement
    Shape shape;
};

}  // namespace

extern "C" __global__ void __launch_bounds__(256) exposure(Exposure exposure) {
    const Shape at = place_of_thread();
    const unsigned int label = inside(exposure.shape, at) ? exposure.labels[voxel(exposure.shape, at)] : 0;
    if (label == 0) {
        return;
    }
    const int found = around(exposure.classes, exposure.shape, at,
                             [](int found) { return (found == Background) - (found == Membrane); });
    if (found != 0) {
        atomicAdd(exposure.exposures + label - 1, static_cast<unsigned long long>(static_cast<long long>(found)));
    }
}
