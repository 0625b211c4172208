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

// A pair that the lane has met in its latest voxels, and in how many of them.
struct Met {
    unsigned int region, label, voxels;
};

__device__ __forceinline__ void add(const Pairs& pairs, Met met) {
    unsigned int* value = met.voxels == 0 ? nullptr : value_of(pairs, met.region, met.label);
    if (value != nullptr) {
        atomicAdd(value, met.voxels);
    }
}

}  // namespace

// A warp takes 32 columns. The next voxel of a column often has the same pair: the table is asked where the pair changes.
extern "C" __global__ void __launch_bounds__(256, 4) contacts(Contacts contacts) {
    const Shape shape = contacts.shape;
    const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (column - lane() >= shape.x) {
        return;
    }
    // At a face a voxel stands in for the neighbour that it lacks: its own label never counts.
    const int x = min(column, shape.x - 1), z = blockIdx.z, below = max(z - 1, 0), above = min(z + 1, shape.z - 1);
    const int start = static_cast<int>(blockIdx.y) * Run, end = min(start + Run, shape.y);
    const auto load_row = [&](unsigned int(&row)[3], int y) {
        load_three(row, x, shape.x, [&](int at) { return label_at(contacts, {z, y, at}); });
    };
    unsigned int before = label_at(contacts, {z, max(start - 1, 0), x}), row[3], next[3];
    load_row(row, start);
    Met met = {};
    for (int y = start; y < end; y++) {
        load_row(next, min(y + 1, shape.y - 1));
        unsigned int around[6] = {label_at(contacts, {below, y, x}), label_at(contacts, {above, y, x}), before, next[1], row[0],
                                  row[2]};
        const unsigned int label = row[1];
#pragma unroll
        for (unsigned int& other : around) {
            other = column >= shape.x || other == label ? 0 : other;
        }
        while (has_label(around)) {
            const unsigned int region = take_label(around, [](int) {});
            if (region != met.region || label != met.label) {
                add(contacts.pairs, met);
                met = {region, label, 0};
            }
            met.voxels++;
        }
        before = label;
#pragma unroll
        for (int i = 0; i < 3; i++) {
            row[i] = next[i];
        }
    }
    add(contacts.pairs, met);
}
