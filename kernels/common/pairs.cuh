// A table from pairs of labels to a number, filled by all threads at once: open addressing, and sums or maxima of integers, so
// that no order matters. Its entries are sorted on the host.
#pragma once
#include <cstdint>

// `Table` in src/ops/cuda/pairs.rs. Keys are `first << 32 | second`; 0, which no pair is, marks a free place.
struct Pairs {
    unsigned long long* keys;
    unsigned int* values;
    unsigned int* overflow;  // becomes 1 where a pair found no place
    unsigned int mask;       // places - 1, a power of two less one
};

// Places looked at before the table counts as full.
constexpr unsigned int MostProbes = 64;

// The place of a pair, or null.
__device__ __forceinline__ unsigned int* value_of(const Pairs& pairs, unsigned int first, unsigned int second) {
    const unsigned long long key = static_cast<unsigned long long>(first) << 32 | second;
    // Fibonacci hashing: the upper bits of the product depend on all bits of the key.
    const unsigned int start = static_cast<unsigned int>(key * 0x9E3779B97F4A7C15ull >> 32);
    for (unsigned int probe = 0; probe < MostProbes; probe++) {
        const unsigned int place = (start + probe) & pairs.mask;
        unsigned long long found = *static_cast<volatile unsigned long long*>(pairs.keys + place);
        if (found == 0) {
            found = atomicCAS(pairs.keys + place, 0ull, key);
        }
        if (found == 0 || found == key) {
            return pairs.values + place;
        }
    }
    atomicOr(pairs.overflow, 1u);
    return nullptr;
}

// Whether a list has a label other than 0.
template <int Count>
__device__ __forceinline__ bool has_label(const unsigned int (&labels)[Count]) {
    unsigned int any = 0;
#pragma unroll
    for (unsigned int label : labels) {
        any |= label;
    }
    return any != 0;
}

// Takes the first label that is not 0, and all that equal it, out of a list that has one, and calls `visit(place)` for each. So a
// voxel looks up a pair once, however many neighbours have the label.
template <int Count, class Visit>
__device__ __forceinline__ unsigned int take_label(unsigned int (&labels)[Count], Visit visit) {
    unsigned int taken = 0;
#pragma unroll
    for (int place = 0; place < Count; place++) {
        if (labels[place] != 0 && (taken == 0 || labels[place] == taken)) {
            taken = labels[place];
            labels[place] = 0;
            visit(place);
        }
    }
    return taken;
}
