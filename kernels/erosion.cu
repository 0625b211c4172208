// Erosion by the 3x3x3 cube: classes [z][y][x] u8 -> 1 where a voxel and all of its neighbours inside the volume have the
// class, else 0. The volume's faces do not erode.
//
// A block of threads goes up a column of 128x14 voxels, a lane having four neighbouring ones as the bytes of a word: 1 where a
// voxel has the class or lies beyond the faces, else 0. A warp takes two rows of a plane, border included, erodes them along x
// and leaves them in shared memory for the rows beside; what the planes below, at and above a voxel say stays in registers. Rows
// begin at any byte: they are read and written as the words of memory that hold them, and shifted to the lanes' voxels and back.
#include <cstdint>

#include "common/grid.cuh"
#include "common/rows.cuh"

namespace {

// As in src/ops/cuda/erosion.rs.
constexpr int TileX = 128, TileY = 14, Planes = 32;
constexpr int Warps = 8, InY = TileY + 2, Each = InY / Warps;
constexpr uint32_t Ones = 0x01010101;

struct Erosion {
    const uint8_t* classes;
    uint8_t* kept;
    Shape shape;
    int wanted;
};

// A row of the volume as words of memory, of which the first and the last may hold voxels of other rows too.
struct Row {
    long long word;  // number of its first word in the volume
    int before;      // voxels of that word that lie before the row
    int end;         // voxels from the first word on to the row's end

    __device__ __forceinline__ Row(Shape shape, int z, int y) {
        const long long number = voxel(shape, {z, y, 0});
        word = number / 4;
        before = static_cast<int>(number % 4);
        end = before + shape.x;
    }
};

// Bytes become 1 where they equal `wanted`, else 0.
__device__ __forceinline__ uint32_t equal_bytes(uint32_t bytes, int wanted) {
    const uint32_t differing = bytes ^ Ones * wanted, low = 0x7F * Ones;
    return ~((differing & low) + low | differing) >> 7 & Ones;
}

// Word `place` of a row: 1 where a voxel has the class or does not belong to the row. Nothing behind the volume is read.
__device__ __forceinline__ uint32_t load_word(const Erosion& erosion, const Row& row, int place) {
    const int first = 4 * place;
    if (first >= row.end) {
        return Ones;
    }
    const long long number = 4 * (row.word + place), voxels = voxel(erosion.shape, {erosion.shape.z, 0, 0});
    const uint8_t* classes = erosion.classes + number;
    uint32_t found = 0;
    if (number + 4 <= voxels) {
        found = *reinterpret_cast<const uint32_t*>(classes);
    } else {
        for (int i = 0; i < row.end - first; i++) {
            found |= static_cast<uint32_t>(classes[i]) << 8 * i;
        }
    }
    found = equal_bytes(found, erosion.wanted);
    if (first < row.before) {
        found |= Ones >> 8 * (4 - row.before);
    }
    if (row.end < first + 4) {
        found |= Ones << 8 * (row.end - first);
    }
    return found;
}

// For the lane's four voxels, of which the first is voxel 4 * `place` of the row: whether they and those beside them along x have
// the class.
__device__ __forceinline__ uint32_t along_x(const Erosion& erosion, int z, int y, int place) {
    if (!inside(erosion.shape, {z, y, 0})) {
        return Ones;
    }
    const Row row(erosion.shape, z, y);
    uint32_t words[3];
    load_three(words, place, (row.end + 3) / 4, [&](int at) { return load_word(erosion, row, at); });
    const uint32_t before = place == 0 ? Ones : words[0];
    const uint32_t behind = 4 * (place + 1) < row.end ? words[2] : Ones;
    // Eroded where they lie in memory; of the second word all but the last voxel.
    const uint32_t here = words[1] & __funnelshift_r(before, words[1], 24) & __funnelshift_r(words[1], behind, 8);
    const uint32_t next = behind & __funnelshift_r(words[1], behind, 24) & behind >> 8;
    return __funnelshift_r(here, next, 8 * row.before);
}

// Writes a row of the tile, the lane's four voxels being those from 4 * `place` on.
__device__ __forceinline__ void put_row(const Erosion& erosion, int z, int y, int place, uint32_t found) {
    const Row row(erosion.shape, z, y);
    uint8_t* kept = erosion.kept + 4 * row.word;
    // Of the voxels of the row's words, those that are the tile's.
    const int first = row.before + 4 * (place - lane()), end = min(first + TileX, row.end);
    const uint32_t before = __shfl_up_sync(AllLanes, found, 1);
    if (first <= 4 * place && 4 * place + 4 <= end) {
        *reinterpret_cast<uint32_t*>(kept + 4 * place) = __funnelshift_l(before, found, 8 * row.before);
    }
    // The voxels before and behind whole words, one a lane.
    const int whole = (first + 3) / 4 * 4, rest = max(end / 4 * 4, whole);
    if (first < whole || rest < end) {
        const int at = lane() < 4 ? first + lane() : rest + lane() - 4;
        const uint32_t four = __shfl_sync(AllLanes, found, (at - first) / 4);
        if (lane() < 8 && at < (lane() < 4 ? min(whole, end) : end)) {
            kept[at] = four >> 8 * ((at - first) % 4) & 0xFF;
        }
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(32 * Warps) erosion(Erosion erosion) {
    // Of planes with even and odd numbers: a plane is written while slower warps read the one before.
    __shared__ uint32_t rows[2][InY][32];
    const Shape origin = {static_cast<int>(blockIdx.z) * Planes, static_cast<int>(blockIdx.y) * TileY,
                          static_cast<int>(blockIdx.x) * TileX};
    const int warp = threadIdx.x / 32, place = origin.x / 4 + lane(), end = min(origin.z + Planes, erosion.shape.z);
    uint32_t below[Each] = {}, here[Each] = {};
    for (int z = origin.z - 1; z <= end; z++) {
        uint32_t (&plane)[InY][32] = rows[z & 1];
#pragma unroll
        for (int i = 0; i < Each; i++) {
            const int y = warp + Warps * i;
            plane[y][lane()] = along_x(erosion, z, origin.y - 1 + y, place);
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < Each; i++) {
            const int y = warp + Warps * i, at_y = origin.y - 1 + y;
            if (y == 0 || y == InY - 1 || at_y >= erosion.shape.y) {
                continue;
            }
            const uint32_t above = plane[y - 1][lane()] & plane[y][lane()] & plane[y + 1][lane()];
            if (z > origin.z) {
                put_row(erosion, z - 1, at_y, place, below[i] & here[i] & above);
            }
            below[i] = here[i];
            here[i] = above;
        }
    }
}
