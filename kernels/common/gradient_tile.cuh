// Gradients to weights on tensor cores: `sum_o fine[stride * o + k - 1][a] * coarse[o][b]` over the voxels o of tiles of the coarse
// grid, in bf16 with f32 sums, for the Taps positions k of a window that differ in x alone. fine has A channels, coarse 64.
//
// For each position this is a product of matrices [a][o] and [o][b], and o is what the products add up. In memory the channels of
// a voxel are side by side, so that ldmatrix has to transpose both operands. A tile is 4 rows of 8 voxels of a plane, two steps of
// 16 voxels. It holds the voxels of fine that the positions see; each of them is a shift along x of the same rows.
// All sums stay in registers while tile after tile passes: copies of the next ones are on their way meanwhile.
#pragma once
#include "grid.cuh"
#include "mma.cuh"
#include "voxel_row.cuh"

#if __CUDA_ARCH__ >= 800
template <int Taps, int Stride, int A>
struct GradientTile {
    static constexpr int B = 64, TileY = 4, TileX = 8;
    static constexpr int Warps = TileY;  // each warp brings a row
    static constexpr int Stages = 3;     // tiles in shared memory
    // A warp has 16 of A and all of B, or half of B where A is too few for all warps.
    static constexpr int Parts = A / 16, Columns = B / 8 * Parts / Warps;
    using Fine = VoxelRow<(TileX - 1) * Stride + Taps, Stride, A / 8>;
    using Coarse = VoxelRow<TileX, 1, B / 8>;
    static_assert(Parts <= Warps && Warps % Parts == 0, "all warps have as many sums");

    struct Stage {
        uint4 coarse[TileY * Coarse::Size];
        uint4 fine[TileY * Fine::Size];
    };

    float sum[Taps][Columns][4];
    // What the lane names for ldmatrix in the tile's first step. Of fine, lanes 0 to 7 name voxels of a row, lanes 8 to 15 their
    // next 8 channels, lanes 16 and up the same of the row below; of coarse, lanes 8 to 15 the row below, lanes 16 and up the next
    // channels, since what mma takes together has to be in neighbouring registers.
    int coarse_at, fine_at[Taps];

    __device__ __forceinline__ GradientTile() {
        const int lane = threadIdx.x % 32, x = lane % 8, second = lane / 8 % 2, third = lane / 16;
        coarse_at = second * Coarse::Size + Coarse::place(x, first_b() / 8 + third);
#pragma unroll
        for (int tap = 0; tap < Taps; tap++) {
            fine_at[tap] = third * Fine::Size + Fine::place(x + Fine::slot(tap), first_a() / 8 + second);
#pragma unroll
            for (int i = 0; i < Columns * 4; i++) {
                sum[tap][i / 4][i % 4] = 0.0f;
            }
        }
    }

    // The warp's first channels.
    static __device__ __forceinline__ int first_a() {
        return threadIdx.x / 32 % Parts * 16;
    }

    static __device__ __forceinline__ int first_b() {
        return threadIdx.x / 32 / Parts * Columns * 8;
    }

    // Has a row on its way whose first voxel, at x, lies at `from`: zeros outside the volume, everywhere if there is no such row.
    // Lanes follow the slots; from one copy to the next, addresses differ by constants.
    template <class Row>
    static __device__ __forceinline__ void bring_row(uint4* to, const uint4* from, int x, int extent, bool is_there) {
        constexpr int Units = Row::Size / Row::Voxels, AtOnce = 32 / Units, Step = Row::Apart;
        const int slot = threadIdx.x % 32 / Units, unit = threadIdx.x % Units, at = Row::place(slot, unit);
        x += slot * Step;
        from += slot * Step * Units + unit;
#pragma unroll
        for (int next = 0; next < Row::Voxels; next += AtOnce) {
            if (next + AtOnce <= Row::Voxels || next + slot < Row::Voxels) {
                const int way = Row::voxel_in(next + slot) - slot * Step;
                const bool is_inside = static_cast<unsigned>(x + way) < static_cast<unsigned>(extent);
                // `place(next + slot, unit)`, since next has no bit in common with slot.
                const int there = (at ^ next / (8 / Units) % Units) + next * Units;
                copy_async(to + there, from + way * Units, is_there && is_inside);
            }
        }
    }

    // Has the tile from `at` on of a volume on its way, and the voxels of fine that see it through positions (z, y) of the
    // window.
    static __device__ __forceinline__ void bring(Stage& stage, const __nv_bfloat16* coarse, Shape coarse_extent,
                                                 const __nv_bfloat16* fine, Shape fine_extent, int volume, Shape at, int z,
                                                 int y) {
        const int row = threadIdx.x / 32;
        at.y += row;
        const bool is_there = at.y < coarse_extent.y;
        const Shape seen = {at.z * Stride + z - 1, at.y * Stride + y - 1, at.x * Stride - 1};
        const bool is_seen = is_there && inside({fine_extent.z, fine_extent.y, 1}, {seen.z, seen.y, 0});
        bring_row<Coarse>(stage.coarse + row * Coarse::Size, place<B>(coarse, coarse_extent, volume, at), at.x,
                          coarse_extent.x, is_there);
        bring_row<Fine>(stage.fine + row * Fine::Size, place<A>(fine, fine_extent, volume, seen), seen.x, fine_extent.x,
                        is_seen);
    }

    template <int Channels>
    static __device__ __forceinline__ const uint4* place(const __nv_bfloat16* values, Shape extent, int volume, Shape at) {
        const int number = ((volume * extent.z + at.z) * extent.y + at.y) * extent.x + at.x;
        return reinterpret_cast<const uint4*>(values) + static_cast<long long>(number) * (Channels / 8);
    }

    // Adds the products of a tile.
    __device__ __forceinline__ void accumulate(const Stage& stage) {
#pragma unroll
        for (int row = 0; row < TileY; row += 2) {
            unsigned coarse[Columns / 2][4];
#pragma unroll
            for (int pair = 0; pair < Columns / 2; pair++) {
                // Two units on: `place` permutes by exclusive or.
                load_matrix_transposed(coarse[pair], &stage.coarse[row * Coarse::Size + (coarse_at ^ 2 * pair)]);
            }
#pragma unroll
            for (int tap = 0; tap < Taps; tap++) {
                unsigned fine[4];
                load_matrix_transposed(fine, &stage.fine[row * Fine::Size + fine_at[tap]]);
#pragma unroll
                for (int pair = 0; pair < Columns / 2; pair++) {
                    multiply<__nv_bfloat16>(sum[tap][2 * pair], fine, coarse[pair][0], coarse[pair][1]);
                    multiply<__nv_bfloat16>(sum[tap][2 * pair + 1], fine, coarse[pair][2], coarse[pair][3]);
                }
            }
        }
    }

    // Writes the sums to `to`, [tap][a][b].
    __device__ __forceinline__ void store(float* to) const {
        const int lane = threadIdx.x % 32;
        to += (first_a() + lane / 4) * B + first_b() + lane % 4 * 2;
#pragma unroll
        for (int tap = 0; tap < Taps; tap++) {
#pragma unroll
            for (int column = 0; column < Columns; column++) {
                const float(&four)[4] = sum[tap][column];
                float* const there = to + tap * A * B + column * 8;
                *reinterpret_cast<float2*>(there) = make_float2(four[0], four[1]);
                *reinterpret_cast<float2*>(there + 8 * B) = make_float2(four[2], four[3]);
            }
        }
    }
};
#endif
