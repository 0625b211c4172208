// Enlargement: the logits of boxes of voxels, `[z][y][x][class]` in f32, become those of the voxels of some planes of a volume,
// trilinearly between the centres of the boxes, or their probabilities, and their most probable class, u8.
//
// `first + (second - first) * share` along z, then y, then x, every operation rounded, as on the CPU. A warp takes 128 voxels of a
// row, from a multiple of 32 in the volume's memory on, so that what it writes is whole sectors. It mixes the row of boxes at their
// height into shared memory, from which its lanes read neighbouring voxels without conflict. The bytes of the classes then change
// lanes, so that each lane has a word of four neighbouring ones. Where there are more boxes than voxels a warp takes 64 voxels.
#include <cstdint>

#include "common/grid.cuh"
#include "common/places.cuh"
#include "common/rows.cuh"

namespace {

constexpr int Warps = 8, Threads = 32 * Warps, Tile = 128, Runs = Tile / 32;
// Boxes whose logits fill whole sectors; rows of the grid are padded to multiples of them (`padded` in
// src/ops/cuda/enlargement.rs).
constexpr int Sectors = 8;
// Boxes of one voxel each, the one behind a tile, and those before it that fill its first sectors. Where there are more boxes than
// voxels, at most two for one (`FINEST_ALONG_X` in src/scale/sampling.rs), as many serve half a tile, and a warp takes that.
constexpr int MostBoxes = Tile + 1 + Sectors - 1;

// Where a voxel lies (`Between` in src/ops/enlargement.rs): between the centres of a box and the next one.
struct __align__(8) Between {
    int box;
    float share;  // of the next one
};

// `Arguments` in src/ops/cuda/enlargement.rs.
struct Enlargement {
    const float* logits;     // [z][y][x][class]
    const Between* along_z;  // of the part's planes
    const Between* along_y;  // of all rows
    const Between* along_x;  // of all voxels of a row
    Shape grid;              // extent of the boxes, with padding
    Shape last;              // the last box of each axis
    Shape extent;            // of the part, whole planes
    int first;               // of these planes in the volume
    Place places[2];

    // Voxels of a row that a warp takes (`tile` in src/ops/cuda/enlargement.rs).
    __device__ __forceinline__ int tile() const { return last.x < extent.x ? Tile : Tile / 2; }
};

__device__ __forceinline__ float mix(float first, float second, float share) {
    return __fadd_rn(first, __fmul_rn(__fsub_rn(second, first), share));
}

// The logits of boxes `first` up to `end` at the height of a row of voxels.
__device__ void mix_row(const Enlargement& to, Between z, Between y, int first, int end, float* row) {
    const int next_z = min(z.box + 1, to.last.z), next_y = min(y.box + 1, to.last.y);
    const float* near_below = to.logits + voxel(to.grid, {z.box, y.box, first}) * Classes;
    const float* near_above = to.logits + voxel(to.grid, {next_z, y.box, first}) * Classes;
    const float* far_below = to.logits + voxel(to.grid, {z.box, next_y, first}) * Classes;
    const float* far_above = to.logits + voxel(to.grid, {next_z, next_y, first}) * Classes;
    // All lanes go round as often, also where the compiler unrolls the loop.
    for (int start = 0; start < (end - first) * Classes; start += 32) {
        const int i = start + lane();
        if (i < (end - first) * Classes) {
            const float near = mix(__ldg(near_below + i), __ldg(near_above + i), z.share);
            const float far = mix(__ldg(far_below + i), __ldg(far_above + i), z.share);
            row[i] = mix(near, far, y.share);
        }
    }
}

// Writes the logits or probabilities of a tile up to voxel `end` of the row, of whose runs of 32 voxels the lane has one each, in
// memory order, by way of shared memory.
template <bool MayTakeProbabilities>
__device__ void put_values(const Enlargement& to, Shape tile, int end, const float (&found)[Runs][Classes], float* row) {
    __syncwarp();
#pragma unroll
    for (int i = 0; i < Runs * Classes; i++) {
        row[(i / Classes * 32 + lane()) * Classes + i % Classes] = found[i / Classes][i % Classes];
    }
    __syncwarp();
    for (int i = lane(); i < Tile * Classes; i += 32) {
        const Shape at = {tile.z, tile.y, tile.x + i / Classes};
        if (0 <= at.x && at.x < end) {
            put<MayTakeProbabilities>(to.places, at, i % Classes, row + i / Classes * Classes);
        }
    }
}

// Byte r of `classes` is voxel 32 * r + lane of the tile, byte i of the result voxel 4 * lane + i.
__device__ __forceinline__ uint32_t neighbours(uint32_t classes) {
    uint32_t word = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint32_t found = __shfl_sync(AllLanes, classes, 4 * (lane() % 8) + i);
        word |= (found >> 8 * (lane() / 8) & 0xFF) << 8 * i;
    }
    return word;
}

// The lower ones of four classes each.
__device__ __forceinline__ uint32_t lowest(uint32_t a, uint32_t b) {
    uint32_t word = 0;
#pragma unroll
    for (int shift = 0; shift < 32; shift += 8) {
        word |= min(a >> shift & 0xFF, b >> shift & 0xFF) << shift;
    }
    return word;
}

// Writes the classes of those of the four voxels from `at` on that are voxels of the row before `end`, at once where that can be.
__device__ void put_classes(const Enlargement& to, Shape at, int end, uint32_t found) {
    for (const Place& place : to.places) {
        if (!place.classes) {
            continue;
        }
        uint32_t* there = reinterpret_cast<uint32_t*>(place.classes + place.number(at));
        const bool aligned = reinterpret_cast<uintptr_t>(there) % sizeof(*there) == 0;
        if (aligned && 0 <= at.x && at.x + 4 <= end) {
            *there = place.keeps_lowest ? lowest(*there, found) : found;
            continue;
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (0 <= at.x + i && at.x + i < end) {
                place.put_class(place.number({at.z, at.y, at.x + i}), found >> 8 * i & 0xFF);
            }
        }
    }
}

template <bool MayTakeProbabilities>
__device__ void enlarge(const Enlargement& to) {
    __shared__ float rows[Warps][MostBoxes * Classes];
    float* row = rows[threadIdx.x / 32];
    Shape tile = {static_cast<int>(blockIdx.z), static_cast<int>(blockIdx.y) * Warps + static_cast<int>(threadIdx.x) / 32, 0};
    const long long number = (static_cast<long long>(to.first + tile.z) * to.extent.y + tile.y) * to.extent.x;
    tile.x = static_cast<int>(blockIdx.x) * to.tile() - static_cast<int>(number % 32);
    if (tile.y >= to.extent.y || tile.x >= to.extent.x) {
        return;
    }
    const int end = min(tile.x + to.tile(), to.extent.x);
    const int first = to.along_x[max(tile.x, 0)].box / Sectors * Sectors;
    const int last = min(to.along_x[end - 1].box + 1, to.last.x);
    mix_row(to, to.along_z[tile.z], to.along_y[tile.y], first, last + 1, row);
    __syncwarp();
    float found[Runs][Classes] = {};
    uint32_t classes = 0;
#pragma unroll
    for (int run = 0; run < Runs; run++) {
        const int x = tile.x + 32 * run + lane();
        if (0 <= x && x < end) {
            const Between between = to.along_x[x];
            const float* near = row + (between.box - first) * Classes;
            const float* far = row + (min(between.box + 1, last) - first) * Classes;
#pragma unroll
            for (int which = 0; which < Classes; which++) {
                found[run][which] = mix(near[which], far[which], between.share);
            }
            classes |= most_probable(found[run][0], found[run][1], found[run][2]) << 8 * run;
        }
    }
    if (to.places[0].values || to.places[1].values) {
        put_values<MayTakeProbabilities>(to, tile, end, found, row);
    }
    put_classes(to, {tile.z, tile.y, tile.x + 4 * lane()}, end, neighbours(classes));
}

}  // namespace

extern "C" __global__ void __launch_bounds__(Threads) enlargement(Enlargement to) { enlarge<false>(to); }

extern "C" __global__ void __launch_bounds__(Threads) enlargement_probabilities(Enlargement to) { enlarge<true>(to); }
