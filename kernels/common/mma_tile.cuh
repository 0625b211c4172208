// Sums over windows on tensor cores: values in f16 or bf16 (`Half`), f32 sums, for a tile of output voxels and all output
// channels.
//
// A block holds Chunk channels of its input voxels, border included, in shared memory, where they serve all taps: a row of a
// matrix operand is a voxel, and ldmatrix takes rows from wherever they lie. Weights come straight from the caches, one step of
// 16 channels ahead, so that warps wait for one another only where a chunk ends. They are packed as the lanes of mma want them
// (src/device/cuda/packing.rs), their channels permuted so that a lane ends up with 8 neighbouring ones. Each warp has a part of
// the voxels and all channels, and reads all weights: the fewer warps share a tile, the less the caches have to deliver, and the
// more registers a thread needs. The sums of a voxel are made in one order (chunk, tap, channels), wherever the tile lies.
#pragma once
#include "grid.cuh"
#include "mma.cuh"
#include "taps.cuh"
#include "voxel_row.cuh"

// Blocks for whose registers a multiprocessor has room, of tiles whose lanes have 128 sums, and of those with 64. At 7.5, which has
// the least shared memory, they may have all registers.
#if __CUDA_ARCH__ >= 800
constexpr int LargeTiles = 2, SmallTiles = 3;
#else
constexpr int LargeTiles = 1, SmallTiles = 2;
#endif

// Of a block.
constexpr int Warps = 4;

// Steps that weights are read ahead, at most.
constexpr int MostAhead = 2;

template <class Half, int Taps, int Stride, int Cin, int Cout, int Chunk, int TileZ, int TileY, int Ahead, int Spacing = 1>
struct MmaTile {
    static constexpr int TileX = 8, Threads = 32 * Warps;
    static constexpr int Matrices = TileZ * TileY / 2 / Warps;  // of 16 voxels: two rows of 8 along x
    static constexpr int Columns = Cout / 8;                    // of 8 channels
    static constexpr int Positions = Taps * Taps * Taps;
    static constexpr int InZ = (TileZ - 1) * Stride + Taps;
    static constexpr int InY = (TileY - 1) * Stride + Taps;
    static constexpr int InX = (TileX - 1) * Stride + Taps;
    static constexpr int Units = Chunk / 8;              // of 16 bytes, in a voxel
    using Row = VoxelRow<InX, Stride, Units>;
    static constexpr int RowUnits = Row::Size;
    static constexpr int RowsAtOnce = Threads / RowUnits;

    // Values of packed weights, with those behind the last step that are read, not used.
    static constexpr int Packed = (Positions * Cin + MostAhead * 16) * Cout;

    struct Shared {
        uint4 voxels[InZ * InY * InX * Units];
    };

    // A lane's weights of 16 input channels: 16 bytes for two columns.
    using Weights = uint4[Columns / 2];
    static constexpr int StepUnits = Columns / 2 * 32;

    float sum[Matrices][Columns][4];

    // The first of the two rows of voxels of matrix m.
    static __device__ Shape row(int m) {
        const int number = 2 * (threadIdx.x / 32 * Matrices + m);
        return {number / TileY, number % TileY, 0};
    }

    // Calls `visit(to, from, is_inside)` for each 16 bytes of the input voxels from `origin` on that the thread brings. A thread
    // has one place in rows of voxels, and takes every RowsAtOnce-th row of a plane. Neighbouring threads follow the slots, whose
    // banks differ; which voxels of a row they take together makes no difference to global memory. Of a plane, Together rows are
    // unrolled.
    template <int Together, class Visit>
    static __device__ __forceinline__ void each_unit(Shared& shared, const Half* input, Shape extent, Shape origin,
                                                     Visit visit) {
        const int in_row = threadIdx.x % RowUnits, unit = in_row % Units, slot = in_row / Units;
        const int first = threadIdx.x / RowUnits;
        Shape at = {origin.z, origin.y + Spacing * first, origin.x + Spacing * Row::voxel_in(slot)};
        const Strides<Cin> strides(extent);
        const Half* plane = input + strides.to(at) + 8 * unit;
        uint4* to = shared.voxels + first * RowUnits + Row::place(slot, unit);
        if (first < RowsAtOnce) {
#pragma unroll 1
            for (int z = 0; z < InZ; z++) {
#pragma unroll Together
                for (int y = 0; y < InY; y += RowsAtOnce) {
                    if (y + RowsAtOnce <= InY || y + first < InY) {
                        const Half* const from = plane + static_cast<long long>(Spacing * y) * strides.row;
                        visit(to + y * RowUnits, reinterpret_cast<const uint4*>(from),
                              inside(extent, {at.z, at.y + Spacing * y, at.x}));
                    }
                }
                at.z += Spacing;
                plane += Spacing * strides.plane;
                to += InY * RowUnits;
            }
        }
    }

    // Fills the tile with channels `channel`..: zero outside the volume, each 16 bytes inside passed through `prologue`.
    template <class Prologue>
    static __device__ void load(Shared& shared, const Half* input, Shape extent, Shape origin, int channel,
                                Prologue prologue) {
        const int first = channel + threadIdx.x % RowUnits % Units * 8;
#if __CUDA_ARCH__ >= 800
        // All on their way at once, past the registers.
        each_unit<InY>(shared, input + channel, extent, origin, copy_async);
        commit_copies();
        await_copies();
        if constexpr (!is_same<Prologue>) {
            each_unit<1>(shared, input + channel, extent, origin, [&](uint4* to, const uint4*, bool is_inside) {
                if (is_inside) {
                    *to = prologue(*to, first);
                }
            });
        }
#else
        each_unit<InY>(shared, input + channel, extent, origin, [&](uint4* to, const uint4* from, bool is_inside) {
            *to = is_inside ? prologue(__ldg(from), first) : make_uint4(0, 0, 0, 0);
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
        return (first.z * InY + first.y + lane / 8 % 2) * Stride * RowUnits + Row::place(lane % 8 + Row::slot(x), lane / 16);
    }

    // Adds the products of 16 channels at one tap, whose voxels lie at `at` and behind, and puts the weights that begin at `next`
    // in the place of theirs.
    __device__ __forceinline__ void accumulate(const Shared& shared, int at, Weights& weights, const uint4* next) {
        unsigned voxels[Matrices][4];
#pragma unroll
        for (int m = 0; m < Matrices; m++) {
            load_matrix(voxels[m], &shared.voxels[at + behind(m)]);
        }
#pragma unroll
        for (int pair = 0; pair < Columns / 2; pair++) {
            const uint4 w = weights[pair];
#pragma unroll
            for (int m = 0; m < Matrices; m++) {
                multiply<Half>(sum[m][2 * pair], voxels[m], w.x, w.y);
                multiply<Half>(sum[m][2 * pair + 1], voxels[m], w.z, w.w);
            }
            weights[pair] = __ldg(next + pair * 32);
        }
    }

    // The products of the chunk that the tile holds; `packed` are the lane's weights of its first step, and afterwards those behind
    // its last one.
    template <class Added>
    __device__ __forceinline__ void accumulate_all(const Shared& shared, const int (&first)[Taps], const uint4*& packed,
                                                   Added added) {
        constexpr int Steps = Chunk / 16, InRow = Taps * Steps;
        Weights weights[Ahead];
#pragma unroll
        for (int i = 0; i < Ahead * Columns / 2; i++) {
            weights[i / (Columns / 2)][i % (Columns / 2)] = __ldg(packed + i * 32);
        }
        // Which weights a step takes is known when the loop is compiled.
        static_assert(Ahead == 1 || is_all_taps<Added>, "a step that is left out has no weights");
        constexpr int Unrolled = InRow % Ahead == 0 ? 1 : Taps * Taps;
#pragma unroll Unrolled
        for (unsigned zy = 0; zy < Taps * Taps; zy++) {
            if (!added.has_row(zy / Taps, zy % Taps)) {
                continue;
            }
            const int rows = (zy / Taps * InY + zy % Taps) * RowUnits;
#pragma unroll
            for (int step = 0; step < InRow; step++) {
                if (added.has(step / Steps)) {
                    // Two units on for each 16 channels: `Row::place` permutes by exclusive or, and rows are whole voxels.
                    accumulate(shared, (first[step / Steps] + rows) ^ step % Steps * 2, weights[(zy * InRow + step) % Ahead],
                               packed + Ahead * StepUnits);
                    packed += StepUnits;
                }
            }
        }
    }

    // All input channels, chunk by chunk.
    template <class Prologue>
    __device__ void run(Shared& shared, const Half* input, const Half* packed, Shape extent, Shape origin,
                        Prologue prologue) {
        clear();
        add(shared, input, packed, extent, origin, prologue, AllTaps());
    }

    // As above, to the sums that are there already. The taps that are added alone have weights.
    template <class Prologue, class Added>
    __device__ void add(Shared& shared, const Half* input, const Half* packed, Shape extent, Shape origin, Prologue prologue,
                        Added added) {
        int first[Taps];
#pragma unroll
        for (int x = 0; x < Taps; x++) {
            first[x] = named(x);
        }
        const uint4* weights = reinterpret_cast<const uint4*>(packed) + threadIdx.x % 32;
#pragma unroll 1
        for (int channel = 0; channel < Cin; channel += Chunk) {
            __syncthreads();
            load(shared, input, extent, origin, channel, prologue);
            __syncthreads();
            accumulate_all(shared, first, weights, added);
        }
    }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < Matrices * Columns * 4; i++) {
            sum[i / (Columns * 4)][i / 4 % Columns][i % 4] = 0.0f;
        }
    }

    // Calls `visit(voxel of the tile, first channel, 8 sums, common, other)` for all that the lane holds: `common` is what
    // `prepare(channel)` gives for all voxels, `other` what `ask(voxel, channel)` gives for each, whose loads are on their way
    // together.
    template <class Prepare, class Ask, class Visit>
    __device__ __forceinline__ void each(Prepare prepare, Ask ask, Visit visit) const {
        const int lane = threadIdx.x % 32;
        const auto at = [lane](int i) {
            const Shape first = row(i / 2);
            return Shape{first.z, first.y + i % 2, lane / 4};
        };
#pragma unroll
        for (int quad = 0; quad < Columns / 4; quad++) {
            const int channel = 32 * quad + lane % 4 * 8;
            const auto common = prepare(channel);
            decltype(ask(Shape(), channel)) others[2 * Matrices];
#pragma unroll
            for (int i = 0; i < 2 * Matrices; i++) {
                others[i] = ask(at(i), channel);
            }
#pragma unroll
            for (int i = 0; i < 2 * Matrices; i++) {
                float values[8];
#pragma unroll
                for (int v = 0; v < 8; v++) {
                    values[v] = sum[i / 2][4 * quad + v / 2][2 * (i % 2) + v % 2];
                }
                visit(at(i), channel, values, common, others[i]);
            }
        }
    }
};
