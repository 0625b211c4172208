// Basins by steepest ascent: squared distance [z][y][x] u32, 0 outside -> labels [z][y][x] u32, 0 outside, label n being the
// basin of the n-th peak in raster order.
//
// 1. basins_point: a voxel points to that of the 27 around it with the greatest (squared distance, linear index).
// 2. basins_jump: pointers reach Hops times as far until each one leads to a peak: at once, but for wide plateaus.
// 3. basins_count, basins_number: the peaks, numbered chunk by chunk of the volume.
// 4. basins_label: a voxel has the number of the peak that it leads to.
#include <cstdint>

#include "common/grid.cuh"
#include "common/rows.cuh"

namespace {

constexpr int TileX = 32, TileY = 8, Planes = 32;
constexpr int InX = TileX + 2, InY = TileY + 2;
constexpr int Hops = 32;
constexpr int Chunk = 1024, ChunkThreads = 256, Rounds = Chunk / ChunkThreads, ChunkWarps = ChunkThreads / 32;

struct Pointing {
    const unsigned int* squared;
    unsigned int* next;
    Shape shape;
};

struct Jump {
    const unsigned int* from;
    unsigned int* to;
    unsigned int* is_short;  // becomes 1 where a pointer does not lead to a peak yet
    long long voxels;
};

struct Numbering {
    const unsigned int* squared;
    const unsigned int* next;
    unsigned int* of_chunk;        // basins_count: peaks of each chunk; basins_number: peaks before it
    unsigned int* labels;          // number of the peak, at the peaks alone
    unsigned long long* peaks;     // squared distance << 32 | voxel
    long long voxels;
};

// Bits of a key that say where among the 27 a distance was found; distances are below 2^27.
constexpr int DirectionBits = 5;

// The greatest key of the nine voxels of plane z around the thread's: distance, then place among the nine.
__device__ unsigned int greatest_in_plane(const Pointing& basins, unsigned int (&plane)[InY][InX], Shape origin, int z) {
    __syncthreads();
    for (int i = threadIdx.x; i < InX * InY; i += TileX * TileY) {
        const Shape at = {z, origin.y - 1 + i / InX, origin.x - 1 + i % InX};
        plane[i / InX][i % InX] = inside(basins.shape, at) ? basins.squared[voxel(basins.shape, at)] : 0;
    }
    __syncthreads();
    const int y = threadIdx.x / TileX, x = threadIdx.x % TileX;
    unsigned int greatest = 0;
#pragma unroll
    for (int i = 0; i < 9; i++) {
        greatest = max(greatest, (plane[y + i / 3][x + i % 3] << DirectionBits) + i);
    }
    return greatest;
}

__device__ __forceinline__ bool is_peak(const Numbering& basins, long long number) {
    return number < basins.voxels && basins.squared[number] != 0 && basins.next[number] == number;
}

// The peaks of a chunk. A warp looks at 32 neighbouring voxels in each round.
struct Peaks {
    long long first;            // voxel of the thread in the first round
    unsigned int found[Rounds]; // among the warp's voxels, a bit each
    unsigned int before;        // lane i: peaks of the chunk before those of warp i % ChunkWarps in round i / ChunkWarps
    unsigned int all;           // of the chunk

    __device__ explicit Peaks(const Numbering& basins) {
        static_assert(Rounds * ChunkWarps == 32, "a lane for the voxels of each warp and round");
        __shared__ unsigned int counts[32];
        first = static_cast<long long>(blockIdx.x) * Chunk + threadIdx.x;
#pragma unroll
        for (int round = 0; round < Rounds; round++) {
            found[round] = __ballot_sync(AllLanes, is_peak(basins, number(round)));
            if (lane() == 0) {
                counts[place(round)] = __popc(found[round]);
            }
        }
        __syncthreads();
        const unsigned int count = counts[lane()];
        unsigned int sum = count;
        for (int step = 1; step < 32; step *= 2) {
            const unsigned int other = __shfl_up_sync(AllLanes, sum, step);
            sum += lane() >= step ? other : 0;
        }
        before = sum - count;
        all = __shfl_sync(AllLanes, sum, 31);
    }

    __device__ long long number(int round) const {
        return first + round * ChunkThreads;
    }

    __device__ static int place(int round) {
        return round * ChunkWarps + static_cast<int>(threadIdx.x) / 32;
    }

    // Peaks of the chunk before the thread's voxel.
    __device__ unsigned int before_voxel(int round) const {
        const unsigned int of_others = __shfl_sync(AllLanes, before, place(round));
        return of_others + __popc(found[round] & ~(AllLanes << lane()));
    }
};

}  // namespace

extern "C" __global__ void __launch_bounds__(TileX * TileY) basins_point(Pointing basins) {
    __shared__ unsigned int plane[InY][InX];
    const Shape origin = {static_cast<int>(blockIdx.z) * Planes, static_cast<int>(blockIdx.y) * TileY,
                          static_cast<int>(blockIdx.x) * TileX};
    const int y = origin.y + static_cast<int>(threadIdx.x) / TileX, x = origin.x + static_cast<int>(threadIdx.x) % TileX;
    const int end = min(origin.z + Planes, basins.shape.z);
    unsigned int below = greatest_in_plane(basins, plane, origin, origin.z - 1);
    unsigned int here = greatest_in_plane(basins, plane, origin, origin.z);
    for (int z = origin.z; z < end; z++) {
        const unsigned int above = greatest_in_plane(basins, plane, origin, z + 1);
        if (inside(basins.shape, {z, y, x})) {
            const int place = max(below, max(here + 9, above + 18)) % (1 << DirectionBits);
            const Shape to = {z + place / 9 - 1, y + place / 3 % 3 - 1, x + place % 3 - 1};
            const long long number = voxel(basins.shape, {z, y, x});
            const bool points = basins.squared[number] != 0;
            basins.next[number] = static_cast<unsigned int>(points ? voxel(basins.shape, to) : number);
        }
        below = here;
        here = above;
    }
}

extern "C" __global__ void __launch_bounds__(256) basins_jump(Jump jump) {
    const long long number = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (number >= jump.voxels) {
        return;
    }
    unsigned int reached = jump.from[number], next = jump.from[reached];
    for (int hop = 2; hop < Hops && next != reached; hop++) {
        reached = next;
        next = jump.from[reached];
    }
    jump.to[number] = next;
    if (next != reached) {
        atomicOr(jump.is_short, 1u);
    }
}

extern "C" __global__ void __launch_bounds__(ChunkThreads) basins_count(Numbering basins) {
    const Peaks peaks(basins);
    if (threadIdx.x == 0) {
        basins.of_chunk[blockIdx.x] = peaks.all;
    }
}

extern "C" __global__ void __launch_bounds__(ChunkThreads) basins_number(Numbering basins) {
    const Peaks peaks(basins);
    const unsigned int before = basins.of_chunk[blockIdx.x];
#pragma unroll
    for (int round = 0; round < Rounds; round++) {
        const unsigned int number = before + peaks.before_voxel(round);
        if (peaks.found[round] >> lane() & 1) {
            const long long voxel = peaks.number(round);
            basins.peaks[number] = static_cast<unsigned long long>(basins.squared[voxel]) << 32 | voxel;
            basins.labels[voxel] = number + 1;
        }
    }
}

// In place: only peaks are read by others, and they keep their number.
extern "C" __global__ void __launch_bounds__(256) basins_label(Numbering basins) {
    const long long number = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (number >= basins.voxels) {
        return;
    }
    if (basins.squared[number] == 0) {
        basins.labels[number] = 0;
    } else if (basins.next[number] != number) {
        basins.labels[number] = basins.labels[basins.next[number]];
    }
}
