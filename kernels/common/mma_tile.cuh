// Sums over windows on tensor cores: values in f16 or bf16 (`Half`), f32 sums, for a tile of output voxels and all output
// channels.
//
// A block holds Chunk channels of its input voxels, border included, in shared memory, where they serve all taps: a row of a
// matrix operand is a voxel, and ldmatrix takes rows from wherever they lie. The weights of one tap and chunk are a stage; while
// one is used the next one is fetched. Weights are packed as the lanes of mma want them (src/device/cuda/packing.rs), their
// channels permuted so that a lane ends up with 8 neighbouring ones. Each warp has a part of the voxels and all channels, and
// reads all weights: the fewer warps share a tile, the less shared memory has to deliver, and the more registers a thread needs.
// The sums of a voxel are made in one order (chunk, tap, channels), wherever the tile lies.
#pragma once
#include "grid.cuh"
#include "mma.cuh"

// Blocks that a multiprocessor holds of tiles that take more than 32 KiB: at 7.5 a single one, which may have all registers.
#if __CUDA_ARCH__ >= 800
constexpr int LargeTiles = 2;
#else
constexpr int LargeTiles = 1;
#endif

template <class Half, int Taps, int Stride, int Cin, int Cout, int Chunk, int TileZ, int TileY, int Warps = 8>
struct MmaTile {
    static constexpr int TileX = 8, Threads = 32 * Warps;
    static constexpr int Matrices = TileZ * TileY / 2 / Warps;  // of 16 voxels: two rows of 8 along x
    static constexpr int Columns = Cout / 8;                    // of 8 channels
    static constexpr int Positions = Taps * Taps * Taps;
    static constexpr int InZ = (TileZ - 1) * Stride + Taps;
    static constexpr int InY = (TileY - 1) * Stride + Taps;
    static constexpr int InX = (TileX - 1) * Stride + Taps;
    static constexpr int Evens = (InX + 1) / 2;          // voxels of a row whose x is even
    static constexpr int Units = Chunk / 8;              // of 16 bytes, in a voxel
    static constexpr int RowUnits = InX * Units;         // in a row of voxels
    static constexpr int StageUnits = Chunk * Cout / 8;  // in a stage
    static constexpr int Rows = InZ * InY;               // of voxels
    static constexpr int RowsAtOnce = Threads / RowUnits;

    struct Shared {
        uint4 voxels[InZ * InY * InX * Units];
        uint4 weights[2][StageUnits];
    };

    float sum[Matrices][Columns][4];

    // The first of the two rows of voxels of matrix m.
    static __device__ Shape row(int m) {
        const int number = 2 * (threadIdx.x / 32 * Matrices + m);
        return {number / TileY, number % TileY, 0};
    }

    // Where a voxel of a row lies: at stride 2 those of one parity side by side, so that 8 outputs read 8 neighbours.
    static __device__ __forceinline__ int slot(int x) {
        return Stride == 1 ? x : x % 2 * Evens + x / 2;
    }

    // The voxel that lies there.
    static __device__ __forceinline__ int voxel_in(int slot) {
        return Stride == 1 ? slot : slot < Evens ? 2 * slot : 2 * (slot - Evens) + 1;
    }

    // Where 16 bytes of a voxel lie in its row: permuted, so that those of 8 neighbouring voxels are in different banks.
    static __device__ __forceinline__ int place(int slot, int unit) {
        return slot * Units + (unit ^ (slot / (8 / Units) % Units));
    }

    // Calls `visit(to, from)` for each 16 bytes of channels `channel`.. of the input voxels from `origin` on that the thread
    // brings; `from` is null outside the volume. A thread has one place in rows of voxels, and takes every RowsAtOnce-th row.
    // Neighbouring threads follow the slots, whose banks differ; which voxels of a row they take together makes no difference to
    // global memory.
    template <class Visit>
    static __device__ __forceinline__ void each_unit(Shared& shared, const Half* input, Shape extent, Shape origin,
                                                     int channel, Visit visit) {
        const int in_row = threadIdx.x % RowUnits, unit = in_row % Units, slot = in_row / Units;
        const int first = threadIdx.x / RowUnits;
        uint4* const column = shared.voxels + place(slot, unit);
        const Half* const channels = input + channel + 8 * unit;
#pragma unroll 4
        for (int row = first < RowsAtOnce ? first : Rows; row < Rows; row += RowsAtOnce) {
            const Shape at = {origin.z + row / InY, origin.y + row % InY, origin.x + voxel_in(slot)};
            const Half* const from = inside(extent, at) ? channels + voxel(extent, at) * Cin : nullptr;
            visit(column + row * RowUnits, reinterpret_cast<const uint4*>(from), channel + 8 * unit);
        }
    }

    // Fills the tile: zero outside the volume, each 16 bytes inside passed through `prologue`.
    template <class Prologue>
    static __device__ void load(Shared& shared, const Half* input, Shape extent, Shape origin, int channel,
                                Prologue prologue) {
#if __CUDA_ARCH__ >= 800
        // All on their way at once, past the registers.
        each_unit(shared, input, extent, origin, channel, [](uint4* to, const uint4* from, int) {
            if (from) {
                copy_async(to, from);
            } else {
                *to = make_uint4(0, 0, 0, 0);
            }
        });
        commit_copies();
        await_copies();
        if constexpr (!is_same<Prologue>) {
            each_unit(shared, input, extent, origin, channel, [&](uint4* to, const uint4* from, int first) {
                if (from) {
                    *to = prologue(*to, first);
                }
            });
        }
#else
        each_unit(shared, input, extent, origin, channel, [&](uint4* to, const uint4* from, int first) {
            *to = from ? prologue(__ldg(from), first) : make_uint4(0, 0, 0, 0);
        });
#endif
    }

    // How far the rows of matrix m lie behind those of the warp's first one: a constant, as whole planes of the tile or a part
    // of one fall to a warp.
    static __device__ __forceinline__ int behind(int m) {
        constexpr int InPlane = TileY / 2;
        static_assert(Matrices % InPlane == 0 || InPlane % Matrices == 0, "a warp has whole planes or a part of one");
        return (m / InPlane * InY + m % InPlane * 2) * Stride * RowUnits;
    }

    // What the lane names for ldmatrix at the first tap along z and y and tap x: lanes 0 to 7 and 8 to 15 the two rows of the
    // warp's first matrix, lanes 16 and up the same rows' next 8 channels.
    static __device__ __forceinline__ int named(int x) {
        const int lane = threadIdx.x % 32;
        const Shape first = row(0);
        return (first.z * InY + first.y + lane / 8 % 2) * Stride * RowUnits + place(lane % 8 + slot(x), lane / 16);
    }

    // Adds the products of one tap, whose voxels lie at `at` and behind.
    __device__ __forceinline__ void accumulate(const Shared& shared, int at, const uint4* weights) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int step = 0; step < Chunk / 16; step++) {
            unsigned voxels[Matrices][4];
#pragma unroll
            for (int m = 0; m < Matrices; m++) {
                // Two units on: `place` permutes by exclusive or, and rows are whole voxels.
                load_matrix(voxels[m], &shared.voxels[(at ^ 2 * step) + behind(m)]);
            }
            multiply_all(voxels, weights + step * Cout * 2, lane);
        }
    }

    // 16 input channels; a lane's weights are 16 bytes for two columns, or 8 for a single one.
    __device__ __forceinline__ void multiply_all(const unsigned (&voxels)[Matrices][4], const uint4* weights, int lane) {
        if constexpr (Columns == 1) {
            const uint2 w = reinterpret_cast<const uint2*>(weights)[lane];
#pragma unroll
            for (int m = 0; m < Matrices; m++) {
                multiply<Half>(sum[m][0], voxels[m], w.x, w.y);
            }
        } else {
#pragma unroll
            for (int pair = 0; pair < Columns / 2; pair++) {
                const uint4 w = weights[pair * 32 + lane];
#pragma unroll
                for (int m = 0; m < Matrices; m++) {
                    multiply<Half>(sum[m][2 * pair], voxels[m], w.x, w.y);
                    multiply<Half>(sum[m][2 * pair + 1], voxels[m], w.z, w.w);
                }
            }
        }
    }

    // All input channels, chunk by chunk.
    template <class Prologue>
    __device__ void run(Shared& shared, const Half* input, const Half* packed, Shape extent, Shape origin,
                        Prologue prologue) {
        const uint4* weights = reinterpret_cast<const uint4*>(packed);
        constexpr int Stages = Cin / Chunk * Positions;
        clear();
        int first[Taps];
#pragma unroll
        for (int x = 0; x < Taps; x++) {
            first[x] = named(x);
        }
        Fetch<StageUnits, Threads> fetch;
        fetch.begin(shared.weights[0], weights);
        fetch.end(shared.weights[0]);
        uint4 *used = shared.weights[0], *next = shared.weights[1];
        int left = Stages;
#pragma unroll 1
        for (int channel = 0; channel < Cin; channel += Chunk) {
            __syncthreads();
            load(shared, input, extent, origin, channel, prologue);
#pragma unroll 1
            for (int zy = 0; zy < Taps * Taps; zy++) {
                const int rows = (zy / Taps * InY + zy % Taps) * RowUnits;
#pragma unroll
                for (int x = 0; x < Taps; x++) {
                    // What was fetched and loaded is there for all, and nobody uses the stage before any more.
                    __syncthreads();
                    weights += StageUnits;
                    const bool is_last = --left == 0;
                    if (!is_last) {
                        fetch.begin(next, weights);
                    }
                    accumulate(shared, first[x] + rows, used);
                    if (!is_last) {
                        fetch.end(next);
                    }
                    uint4* const done = used;
                    used = next;
                    next = done;
                }
            }
        }
    }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < Matrices * Columns * 4; i++) {
            sum[i / (Columns * 4)][i / 4 % Columns][i % 4] = 0.0f;
        }
    }

    // Calls `visit(voxel of the tile, first channel, 8 sums, other)` for all that the lane holds. All that `other(voxel,
    // channel)` gives is asked for at first, so that it is on its way at once.
    template <class Other, class Visit>
    __device__ __forceinline__ void each(Other other, Visit visit) const {
        constexpr int Quads = Columns / 4;
        const auto at = [](int i) {
            const Shape first = row(i / (2 * Quads));
            return Shape{first.z, first.y + i / Quads % 2, static_cast<int>(threadIdx.x % 32 / 4)};
        };
        const auto channel = [](int i) { return 32 * (i % Quads) + static_cast<int>(threadIdx.x % 4) * 8; };
        decltype(other(Shape(), 0)) others[Matrices * 2 * Quads];
#pragma unroll
        for (int i = 0; i < Matrices * 2 * Quads; i++) {
            others[i] = other(at(i), channel(i));
        }
#pragma unroll
        for (int i = 0; i < Matrices * 2 * Quads; i++) {
            const int m = i / (2 * Quads), half = i / Quads % 2, quad = i % Quads;
            float values[8];
#pragma unroll
            for (int v = 0; v < 8; v++) {
                values[v] = sum[m][4 * quad + v / 2][2 * half + v % 2];
            }
            visit(at(i), channel(i), values, others[i]);
        }
    }
};
