// Contacts of labelled regions: labels [z][y][x] u32 -> for each (region, label outside it) the number of voxels with that
// label, 0 included, that are 6-adjacent to the region.
#include <cstdint>

#include "common/grid.cuh"
#include "common/pairs.cuh"
#include "common/rows.cuh"

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

// A warp takes 32 voxels of a row.
extern "C" __global__ void __launch_bounds__(256) contacts(Contacts contacts) {
    const Shape shape = contacts.shape;
    const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (column - lane() >= shape.x) {
        return;
    }
    const Shape at = {static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y), min(column, shape.x - 1)};
    unsigned int row[3];
    load_three(row, at.x, shape.x, [&](int x) { return label_at(contacts, {at.z, at.y, x}); });
    // At a face the voxel stands in for the neighbour that it lacks: its own label never counts.
    unsigned int around[6] = {label_at(contacts, {max(at.z - 1, 0), at.y, at.x}),
                              label_at(contacts, {min(at.z + 1, shape.z - 1), at.y, at.x}),
                              label_at(contacts, {at.z, max(at.y - 1, 0), at.x}),
                              label_at(contacts, {at.z, min(at.y + 1, shape.y - 1), at.x}),
                              row[0],
                              row[2]};
    if (column >= shape.x) {
        return;
    }
    const unsigned int label = row[1];
#pragma unroll
    for (unsigned int& other : around) {
        other = other == label ? 0 : other;
    }
    while (has_label(around)) {
        const unsigned int region = take_label(around, [](int) {});
        unsigned int* value = value_of(contacts.pairs, region, label);
        if (value != nullptr) {
            atomicAdd(value, 1u);
        }
    }
}
