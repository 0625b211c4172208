// Local contrast: each voxel of a part of a volume becomes the number of standard deviations by which it differs from the mean of
// the cube around it, in f32, with the bits of the CPU (src/ops/contrast.rs): sums of levels and of their squares are integers.
//
// `contrast_sums` adds up along z, a thread going up a column of some planes with a running sum, and writes a word for each place:
// the sum of at most 33 levels has 22 bits, that of their squares 38. `contrast` adds them up along y and x, a warp going through
// rows of 128 columns of a plane: running sums along y stay in registers, four neighbouring columns a lane, and of each row their
// prefix sums along x lie in shared memory, of which the cubes of 96 voxels take differences. No step depends on how wide cubes are
// but for the rows that come before a warp's first one.
//
// The host launches both for as many planes as keep the words in the second cache, then for the next ones; the last plane's words
// are where the running sums along z go on.
//
// The words of a row cover what cubes reach beyond the part, with zeros outside the volume, so that no sum asks for its faces. Of
// four neighbouring words the first two lie in the row's first half and the others in its second half: each lane of a warp
// loads 16 bytes of either, side by side with its neighbours.
#include <cstdint>

#include "common/grey.cuh"
#include "common/grid.cuh"
#include "common/rows.cuh"

namespace {

// As in src/ops/cuda/contrast.rs.
constexpr int SumWarps = 8, Warps = 4, Rows = 32, Tile = 96, Columns = 128;
constexpr int Each = Columns / 32, Voxels = Tile / 32;
constexpr int SquareBits = 38;

// `Arguments` in src/ops/cuda/contrast.rs.
struct Contrast {
    Grey grey;           // of the extent
    uint64_t* sums;      // [held][shape.y + 2 half_width][pitch]
    float* normalised;   // [shape]
    uint64_t floor;      // squared, in levels
    Shape extent;        // of all stored voxels
    Shape first, shape;  // the part
    int pitch, half_width;
    int slab, planes;  // of the part, those of this launch
    int held;          // planes of a full slab

    __device__ __forceinline__ int rows() const { return shape.y + 2 * half_width; }
};

__device__ __forceinline__ unsigned level(float fitted) {
    return min(__float2uint_rn(__fmul_rn(__fadd_rn(fitted, 0.5f), 32768.0f)), 65535u);
}

__device__ __forceinline__ uint64_t word(unsigned level) {
    return (static_cast<uint64_t>(level) << SquareBits) + static_cast<uint64_t>(level) * level;
}

// Where the word of a column lies in its row.
__device__ __forceinline__ int place(int column, int pitch) {
    return column / 2 % 2 * (pitch / 2) + column / 4 * 2 + column % 2;
}

// Voxels that the cube of voxel `at` covers along an axis of `extent`.
__device__ __forceinline__ int covered(int at, int half_width, int extent) {
    return min(at + half_width + 1, extent) - max(at - half_width, 0);
}

template <class Stored>
__device__ __forceinline__ void sum_planes(const Contrast& contrast, const Stored* stored) {
    const int column = static_cast<int>(blockIdx.x) * 32 + lane();
    const int row = static_cast<int>(blockIdx.y) * SumWarps + static_cast<int>(threadIdx.x) / 32;
    const int half_width = contrast.half_width;
    if (row >= contrast.rows()) {
        return;
    }
    const Shape at = {0, contrast.first.y - half_width + row, contrast.first.x - half_width + column};
    const int depth = inside(contrast.extent, at) ? contrast.extent.z : 0;
    const long long plane = static_cast<long long>(contrast.extent.y) * contrast.extent.x;
    const Stored* const start = stored + voxel(contrast.extent, at);
    const auto of_plane = [&](int z) -> uint64_t {
        if (static_cast<unsigned>(z) >= static_cast<unsigned>(depth)) {
            return 0;
        }
        return word(level(contrast.grey.scaled(__ldg(start + z * plane))));
    };
    const long long apart = static_cast<long long>(contrast.rows()) * contrast.pitch;
    uint64_t* sums = contrast.sums + static_cast<long long>(row) * contrast.pitch + place(column, contrast.pitch);
    int z = contrast.first.z + contrast.slab;
    uint64_t sum = 0;
    if (contrast.slab == 0) {
#pragma unroll 4
        for (int i = z - half_width; i < z + half_width; i++) {
            sum += of_plane(i);
        }
    } else {
        sum = sums[(contrast.held - 1) * apart] - of_plane(z - 1 - half_width);
    }
#pragma unroll 4
    for (int i = 0; i < contrast.planes; i++) {
        sum += of_plane(z + half_width);
        *sums = sum;
        sum -= of_plane(z - half_width);
        sums += apart;
        z++;
    }
}

// Sums along z and y of the levels of a lane's columns, and of their words modulo 2^64, from which follow those of squares.
struct ColumnSums {
    unsigned levels[Each];
    uint64_t words[Each];

    // `near`, from a row's first half, and `far` have the words of four columns.
    __device__ __forceinline__ void add(ulonglong2 near, ulonglong2 far) {
        const uint64_t four[Each] = {near.x, near.y, far.x, far.y};
#pragma unroll
        for (int i = 0; i < Each; i++) {
            levels[i] += static_cast<unsigned>(four[i] >> SquareBits);
            words[i] += four[i];
        }
    }

    __device__ __forceinline__ void subtract(ulonglong2 near, ulonglong2 far) {
        const uint64_t four[Each] = {near.x, near.y, far.x, far.y};
#pragma unroll
        for (int i = 0; i < Each; i++) {
            levels[i] -= static_cast<unsigned>(four[i] >> SquareBits);
            words[i] -= four[i];
        }
    }
};

// Sums over all columns of a tile before each one; halves of words apart, so that neighbouring lanes read different banks.
struct __align__(16) Prefix {
    unsigned levels[Columns + 4], low[Columns + 4], high[Columns + 4];

    __device__ __forceinline__ uint64_t word(int column) const {
        return static_cast<uint64_t>(high[column]) << 32 | low[column];
    }

    // All lanes of the warp.
    __device__ __forceinline__ void fill(const ColumnSums& sums) {
        // Of the lane's columns before each one and of all of them, then with those of the lanes before.
        unsigned before[Each + 1] = {};
        unsigned long long words_before[Each + 1] = {};
#pragma unroll
        for (int i = 0; i < Each; i++) {
            before[i + 1] = before[i] + sums.levels[i];
            words_before[i + 1] = words_before[i] + sums.words[i];
        }
        unsigned up_to = before[Each];
        unsigned long long words_up_to = words_before[Each];
#pragma unroll
        for (int distance = 1; distance < 32; distance *= 2) {
            const unsigned others = __shfl_up_sync(AllLanes, up_to, distance);
            const unsigned long long other_words = __shfl_up_sync(AllLanes, words_up_to, distance);
            if (lane() >= distance) {
                up_to += others;
                words_up_to += other_words;
            }
        }
        up_to -= before[Each];
        words_up_to -= words_before[Each];
#pragma unroll
        for (int i = 0; i <= Each; i++) {
            before[i] += up_to;
            words_before[i] += words_up_to;
        }
        put(levels, before, 0);
        put(low, words_before, 0);
        put(high, words_before, 32);
    }

    // 32 bits of each sum, from bit `shift` on.
    template <class Sum>
    __device__ __forceinline__ void put(unsigned* to, const Sum (&sums)[Each + 1], int shift) {
        const auto bits = [&](int i) { return static_cast<unsigned>(sums[i] >> shift); };
        reinterpret_cast<uint4*>(to)[lane()] = make_uint4(bits(0), bits(1), bits(2), bits(3));
        if (lane() == 31) {
            to[Columns] = bits(Each);
        }
    }
};

// A voxel of this level, in whose cube of `voxels` voxels levels and squares have these sums.
__device__ __forceinline__ float normalised(unsigned level, unsigned levels, uint64_t squares, unsigned voxels, uint64_t floor) {
    const long long difference = static_cast<long long>(voxels * level) - static_cast<long long>(levels);
    // The products may exceed 64 bits, their difference does not.
    const uint64_t spread = voxels * squares - static_cast<uint64_t>(levels) * levels;
    const uint64_t with_floor = spread + static_cast<uint64_t>(voxels * voxels) * floor;
    return __fdiv_rn(__ll2float_rn(difference), __fsqrt_rn(__ull2float_rn(with_floor)));
}

// The tile's voxels of the part's rows from `first` up to `end`, in plane `plane` of the slab.
__device__ __forceinline__ void normalise_rows(const Contrast& contrast, int plane, int first, int end, Prefix& prefix) {
    const int half_width = contrast.half_width, x = static_cast<int>(blockIdx.x) * Tile + lane();
    const int z = contrast.first.z + contrast.slab + plane;
    const long long row_of_plane = static_cast<long long>(plane) * contrast.rows();
    // What the lane has of a row's first and second half.
    const uint64_t* const words = contrast.sums + static_cast<int>(blockIdx.x) * (Tile / 2) + 2 * lane();
    const auto near = [&](int row) {
        return *reinterpret_cast<const ulonglong2*>(words + (row_of_plane + row) * contrast.pitch);
    };
    const auto far = [&](int row) {
        return *reinterpret_cast<const ulonglong2*>(words + (row_of_plane + row) * contrast.pitch + contrast.pitch / 2);
    };
    unsigned across[Voxels];
#pragma unroll
    for (int i = 0; i < Voxels; i++) {
        across[i] = covered(contrast.first.x + x + 32 * i, half_width, contrast.extent.x);
    }
    ColumnSums sums = {};
#pragma unroll 4
    for (int row = first; row < first + 2 * half_width; row++) {
        sums.add(near(row), far(row));
    }
#pragma unroll 1
    for (int y = first; y < end; y++) {
        sums.add(near(y + 2 * half_width), far(y + 2 * half_width));
        unsigned own[Voxels] = {};
        const long long at = voxel(contrast.extent, {z, contrast.first.y + y, contrast.first.x + x});
        contrast.grey.as_stored([&](auto stored) {
#pragma unroll
            for (int i = 0; i < Voxels; i++) {
                if (x + 32 * i < contrast.shape.x) {
                    own[i] = level(contrast.grey.scaled(__ldg(stored + at + 32 * i)));
                }
            }
        });
        prefix.fill(sums);
        __syncwarp();
        const unsigned of_column = covered(z, half_width, contrast.extent.z)
                                   * covered(contrast.first.y + y, half_width, contrast.extent.y);
        float* const row = contrast.normalised + voxel(contrast.shape, {contrast.slab + plane, y, x});
#pragma unroll
        for (int i = 0; i < Voxels; i++) {
            const int from = lane() + 32 * i, to = from + 2 * half_width + 1;
            const unsigned levels = prefix.levels[to] - prefix.levels[from];
            const uint64_t both = prefix.word(to) - prefix.word(from);
            const uint64_t squares = both - (static_cast<uint64_t>(levels) << SquareBits);
            if (x + 32 * i < contrast.shape.x) {
                row[32 * i] = normalised(own[i], levels, squares, of_column * across[i], contrast.floor);
            }
        }
        __syncwarp();
        sums.subtract(near(y), far(y));
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(32 * SumWarps) contrast_sums(Contrast contrast) {
    contrast.grey.as_stored([&](auto stored) { sum_planes(contrast, stored); });
}

// Six blocks of threads at least: asked for no number, ptxas takes registers for eight, and has to save some around divisions.
extern "C" __global__ void __launch_bounds__(32 * Warps, 6) contrast(Contrast contrast) {
    __shared__ Prefix prefixes[Warps];
    const int warp = threadIdx.x / 32, first = (static_cast<int>(blockIdx.y) * Warps + warp) * Rows;
    if (first < contrast.shape.y) {
        normalise_rows(contrast, blockIdx.z, first, min(first + Rows, contrast.shape.y), prefixes[warp]);
    }
}
