// Contacts of labelled regions: labels [z][y][x] u32 -> for each (region, label outside it) the number of voxels with that
// label, 0 included, that are 6-adjacent to the region.
#include <cstdint>

#include "common/grid.cuh"
#include "common/pairs.cuh"

namespace {

struct Contacts {
    const unsigned int* labels;
    const uint8_t* core;  // null, or where it is 0 a voxel counts as label 0
    Pairs pairs;
    Shape shape;
};

__device__ __forceinline__ unsigned int label_at(const Contacts& contacts, Shape at) {
    const long long number = voxel(contacts.shape, at);
    return contacts.core != nullptr && contacts.core[number] == 0 ? 0 : contacts.labels[number];
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256) contacts(Contacts contacts) {
    const Shape at = {static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y),
                      static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x)};
    const Shape shape = contacts.shape;
    if (!inside(shape, at)) {
        return;
    }
    // At a face the voxel stands in for the neighbour that it lacks: its own label never counts.
    const Shape places[6] = {{max(at.z - 1, 0), at.y, at.x}, {min(at.z + 1, shape.z - 1), at.y, at.x},
                             {at.z, max(at.y - 1, 0), at.x}, {at.z, min(at.y + 1, shape.y - 1), at.x},
                             {at.z, at.y, max(at.x - 1, 0)}, {at.z, at.y, min(at.x + 1, shape.x - 1)}};
    const unsigned int label = label_at(contacts, at);
    unsigned int around[6];
#pragma unroll
    for (int n = 0; n < 6; n++) {
        around[n] = label_at(contacts, places[n]);
        bool counts = around[n] != 0 && around[n] != label;
#pragma unroll
        for (int before = 0; before < n; before++) {
            counts = counts && around[before] != around[n];
        }
        if (counts) {
            unsigned int* value = value_of(contacts.pairs, around[n], label);
            if (value != nullptr) {
                atomicAdd(value, 1u);
            }
        }
    }
}
