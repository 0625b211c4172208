// Pockets: connected background (6 neighbours) with more faces to foreground than to membrane and the volume's end becomes
// foreground: classes [z][y][x] u8 -> the same.
//
// 1. pockets_begin: every voxel is a piece of its own.
// 2. pockets_join: background voxels are joined to the one before them along each axis; the root of a piece is its least voxel.
// 3. pockets_weigh: every voxel adds its faces at its root.
// 4. pockets_fill.
#include <cstdint>

#include "common/faces.cuh"
#include "common/grid.cuh"

namespace {

struct Pockets {
    uint8_t* classes;
    unsigned int* parents;  // a lesser voxel of the same piece; the root's own number at the root
    int* balances;          // faces to foreground less those to membrane or the volume's end, at the roots
    Shape shape;
};

__device__ __forceinline__ unsigned int root_of(const Pockets& pockets, unsigned int at) {
    for (;;) {
        const unsigned int parent = *static_cast<volatile unsigned int*>(pockets.parents + at);
        if (parent == at) {
            return at;
        }
        at = parent;
    }
}

// The greater root gets the smaller one as its parent; where another thread was first, what it had set is joined too.
__device__ void join(const Pockets& pockets, unsigned int a, unsigned int b) {
    for (;;) {
        a = root_of(pockets, a);
        b = root_of(pockets, b);
        if (a == b) {
            return;
        }
        const unsigned int high = max(a, b), low = min(a, b);
        const unsigned int was = atomicMin(pockets.parents + high, low);
        if (was == high) {
            return;
        }
        a = was;
        b = low;
    }
}

__device__ __forceinline__ bool is_background(const Pockets& pockets, Shape at) {
    return class_at(pockets.classes, pockets.shape, at) == Background;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256) pockets_begin(Pockets pockets) {
    const Shape at = place_of_thread();
    if (inside(pockets.shape, at)) {
        const long long number = voxel(pockets.shape, at);
        pockets.parents[number] = static_cast<unsigned int>(number);
        pockets.balances[number] = 0;
    }
}

extern "C" __global__ void __launch_bounds__(256) pockets_join(Pockets pockets) {
    const Shape at = place_of_thread();
    if (!is_background(pockets, at)) {
        return;
    }
    const Shape before[3] = {{at.z - 1, at.y, at.x}, {at.z, at.y - 1, at.x}, {at.z, at.y, at.x - 1}};
    const unsigned int number = static_cast<unsigned int>(voxel(pockets.shape, at));
#pragma unroll
    for (int axis = 0; axis < 3; axis++) {
        if (is_background(pockets, before[axis])) {
            join(pockets, number, static_cast<unsigned int>(voxel(pockets.shape, before[axis])));
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) pockets_weigh(Pockets pockets) {
    const Shape at = place_of_thread();
    if (!is_background(pockets, at)) {
        return;
    }
    const int balance = around(pockets.classes, pockets.shape, at, [](int found) {
        return (found == Foreground) - (found == Membrane || found == Outside);
    });
    if (balance != 0) {
        atomicAdd(pockets.balances + root_of(pockets, static_cast<unsigned int>(voxel(pockets.shape, at))), balance);
    }
}

extern "C" __global__ void __launch_bounds__(256) pockets_fill(Pockets pockets) {
    const Shape at = place_of_thread();
    if (!is_background(pockets, at)) {
        return;
    }
    const long long number = voxel(pockets.shape, at);
    if (pockets.balances[root_of(pockets, static_cast<unsigned int>(number))] > 0) {
        pockets.classes[number] = Foreground;
    }
}
