// The last convolution: 3x3x3, padding 1, 32 channels to the logits of three classes, or to their probabilities,
// `[z][y][x][class]` in f32, and to the most probable class, u8.
//
// `y[o][c] = bias[c] + sum_(k, i) x[o + k - 1][i] * w[k][c][i]`, for the part of a block of the volume that the block
// answers for. With fused multiply-adds, weights in f32 and packed `[z][y][x][c][i]`, a block of threads computes 4x8x16
// voxels, a thread 4 of them along x with all classes. Neighbouring threads take neighbouring rows, whose distance in shared
// memory is an odd number of 16 bytes, so that they read without conflict; the result goes through shared memory too, to be
// written in whole sectors.
//
// On tensor cores a block of threads goes along z: it has one plane of voxels in shared memory while the next one is
// brought, and multiplies each voxel once by the weights of all three planes of the window, so that three planes of
// sums are on their way. A row of a matrix operand is a voxel, and a column is a class together with a plane of the
// window. Weights stay in registers.
#include "common/grid.cuh"
#include "common/mma.cuh"
#include "common/places.cuh"
#include "common/values.cuh"

namespace {

constexpr int Cin = 32, Threads = 128;
constexpr int TileZ = 4, TileY = 8, TileX = 16, Run = 4;
constexpr int InZ = TileZ + 2, InY = TileY + 2, InX = TileX + 2;
constexpr int Row = TileX * Classes, RowPitch = Row + 4;  // of logits

// `ClassArguments` in src/ops/class_conv.rs; the output of `conv` is not used.
template <class Value, class Weight = Value>
struct ClassConvolution {
    Convolution<Value, Weight> conv;
    Shape first, extent;  // of the part, in the block
    Place places[2];
};

__device__ __forceinline__ float add(float sum, const float* values, float4 weight) {
    sum = fmaf(values[0], weight.x, sum);
    sum = fmaf(values[1], weight.y, sum);
    sum = fmaf(values[2], weight.z, sum);
    return fmaf(values[3], weight.w, sum);
}

// A chunk of channels for fused multiply-adds: a sector of each voxel.
template <class Value>
struct Chunk {
    static constexpr int Size = 32 / sizeof(Value), Fours = Size / 4;
    static constexpr int Width = InUnit<Value>, Units = Size / Width;
    static constexpr int Pitch = InX * Size + Width;  // an odd number of 16 bytes

    float4 weights[27 * Classes * Fours];
    union {
        Value voxels[InZ * InY * Pitch];
        float4 logits[TileZ * TileY * RowPitch / 4];
    };

    // From `channel` on; zero outside the volume.
    __device__ void load(const Convolution<Value, float>& conv, Shape origin, int channel) {
        for (int i = threadIdx.x; i < 27 * Classes * Fours; i += Threads) {
            const float* found = conv.weights + i / Fours * Cin + channel + i % Fours * 4;
            weights[i] = __ldg(reinterpret_cast<const float4*>(found));
        }
        for (int i = threadIdx.x; i < InZ * InY * InX * Units; i += Threads) {
            const int unit = i % Units, x = i / Units % InX, row = i / (Units * InX);
            const Shape at = {origin.z + row / InY, origin.y + row % InY, origin.x + x};
            uint4 values = make_uint4(0, 0, 0, 0);
            if (inside(conv.in, at)) {
                values = *reinterpret_cast<const uint4*>(conv.input + voxel(conv.in, at) * Cin + channel + unit * Width);
            }
            *reinterpret_cast<uint4*>(voxels + row * Pitch + x * Size + unit * Width) = values;
        }
    }

    // Adds the products for the thread's 4 voxels from `first` on.
    __device__ void accumulate(Shape first, float (&sum)[Run][Classes]) const {
#pragma unroll 1
        for (int zy = 0; zy < 9; zy++) {
            const Value* row = voxels + ((first.z + zy / 3) * InY + first.y + zy % 3) * Pitch + first.x * Size;
#pragma unroll
            for (int unit = 0; unit < Units; unit++) {
                float value[Run + 2][Width];
#pragma unroll
                for (int x = 0; x < Run + 2; x++) {
                    load_unit(row + x * Size + unit * Width, value[x]);
                }
#pragma unroll
                for (int i = 0; i < 3 * Classes * Width / 4; i++) {
                    const int number = i / (Width / 4), four = i % (Width / 4);
                    const float4 weight = weights[(zy * 3 * Classes + number) * Fours + unit * Width / 4 + four];
#pragma unroll
                    for (int v = 0; v < Run; v++) {
                        float& to = sum[v][number % Classes];
                        to = add(to, value[v + number / Classes] + 4 * four, weight);
                    }
                }
            }
        }
    }
};

// From shared memory to the volume, along rows; `tile` is the first voxel's place in the part.
template <class Value>
__device__ void store(const Chunk<Value>& shared, const ClassConvolution<Value, float>& conv, Shape tile) {
    const float* logits = reinterpret_cast<const float*>(shared.logits);
    for (int i = threadIdx.x; i < TileZ * TileY * Row; i += Threads) {
        const int row = i / Row, in_row = i % Row;
        const Shape at = {tile.z + row / TileY, tile.y + row % TileY, tile.x + in_row / Classes};
        if (inside(conv.extent, at)) {
            put<true>(conv.places, at, in_row % Classes, logits + row * RowPitch + in_row / Classes * Classes);
        }
    }
    for (int i = threadIdx.x; i < TileZ * TileY * TileX; i += Threads) {
        const int row = i / TileX, x = i % TileX;
        const Shape at = {tile.z + row / TileY, tile.y + row % TileY, tile.x + x};
        if (inside(conv.extent, at)) {
            const float* found = logits + row * RowPitch + x * Classes;
            put_class(conv.places, at, most_probable(found[0], found[1], found[2]));
        }
    }
}

// The first input voxel of the tile at `tile` in the part.
template <class Value, class Weight>
__device__ Shape input_origin(const ClassConvolution<Value, Weight>& conv, Shape tile) {
    return {conv.first.z + tile.z - 1, conv.first.y + tile.y - 1, conv.first.x + tile.x - 1};
}

// Planes of the input that shared memory has at a time. At 7.5, which has no asynchronous copies and half the shared
// memory, other blocks compute while one loads.
#if __CUDA_ARCH__ >= 800
constexpr int Planes = 2;
#else
constexpr int Planes = 1;
#endif

// On tensor cores: a block's 16x16 voxels of each of Depth planes, a warp's 4 rows of them.
template <class Half>
struct March {
    static constexpr int Depth = 24, Side = 16, Rows = 4, InSide = Side + 2, Steps = Cin / 16;
    static constexpr int Units = Cin / 8;  // of 16 bytes, in a voxel
    static constexpr int Copies = (InSide * InSide * Units + Threads - 1) / Threads;
    static constexpr int Apart = Threads / Units;  // voxels between a thread's copies
    // Voxels of a unit's plane, and two more, so that those that 8 threads copy at once are in different banks.
    static constexpr int Pitch = InSide * InSide + 2;

    struct Shared {
        uint4 planes[Planes][Units * Pitch];  // [unit][y][x], so that ldmatrix reads 8 neighbours
    };

    Shared& shared;
    const uint4* next;              // first voxel of the tile in the plane that is fetched next
    const long long plane_units;    // of the volume
    int offset[Copies];             // from there to what the thread copies; negative where there is nothing
    unsigned weights[9][Steps][4];  // [y, x], as the lanes of mma want them
    // Of voxels r and r + 8 of a row, r being lane / 4: class lane % 4 of the plane that comes next and of this one,
    // then of the last one, and a column of zeros.
    float sum[Rows][2][4];

    // The first input voxel is `origin`. Those outside the volume are zero in every plane.
    __device__ __forceinline__ March(Shared& shared, const Convolution<Half>& conv, Shape origin)
        : shared(shared),
          next(reinterpret_cast<const uint4*>(conv.input) + voxel(conv.in, origin) * Units),
          plane_units(static_cast<long long>(conv.in.y) * conv.in.x * Units) {
#pragma unroll
        for (int i = 0; i < Copies; i++) {
            const int number = threadIdx.x / Units + i * Apart, y = number / InSide, x = number % InSide;
            const bool is_inside = number < InSide * InSide && inside(conv.in, {0, origin.y + y, origin.x + x});
            offset[i] = is_inside ? (y * conv.in.x + x) * Units + static_cast<int>(threadIdx.x % Units) : -1;
            if (number < InSide * InSide && !is_inside) {
                for (uint4(&plane)[Units * Pitch] : shared.planes) {
                    plane[place(i)] = make_uint4(0, 0, 0, 0);
                }
            }
        }
        const uint4* packed = reinterpret_cast<const uint4*>(conv.weights) + threadIdx.x % 32;
#pragma unroll
        for (int i = 0; i < 9 * Steps; i++) {
            const uint4 w = __ldg(packed + i * 32);
            unsigned(&to)[4] = weights[i / Steps][i % Steps];
            to[0] = w.x, to[1] = w.y, to[2] = w.z, to[3] = w.w;
        }
#pragma unroll
        for (int i = 0; i < Rows * 8; i++) {
            sum[i / 8][i / 4 % 2][i % 4] = 0.0f;
        }
    }

    // Where the thread's copy i lies in a plane.
    static __device__ __forceinline__ int place(int i) {
        return threadIdx.x % Units * Pitch + threadIdx.x / Units + i * Apart;
    }

    __device__ __forceinline__ uint4* plane(int z) const { return shared.planes[z & (Planes - 1)]; }

    // Begins to bring the next plane where it is wanted; below 8.0 brings it.
    __device__ __forceinline__ void fetch(int z, bool is_wanted) {
        uint4* const to = plane(z) + place(0);
        if (is_wanted) {
#pragma unroll
            for (int i = 0; i < Copies; i++) {
                if (offset[i] >= 0) {
#if __CUDA_ARCH__ >= 800
                    copy_async(to + i * Apart, next + offset[i]);
#else
                    to[i * Apart] = __ldg(next + offset[i]);
#endif
                }
            }
        }
#if __CUDA_ARCH__ >= 800
        commit_copies();
#endif
        next += plane_units;
    }

    // Adds the products of a plane. Each input voxel serves all rows of the window that the warp's rows of voxels have.
    __device__ __forceinline__ void multiply_all(int z) {
        const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * Rows;
        const uint4* named = plane(z) + lane / 16 * Pitch + row * InSide + lane % 16;
#pragma unroll
        for (int x = 0; x < 3; x++) {
#pragma unroll
            for (int step = 0; step < Steps; step++) {
#pragma unroll
                for (int in_y = 0; in_y < Rows + 2; in_y++) {
                    unsigned voxels[4];
                    load_matrix(voxels, named + 2 * step * Pitch + in_y * InSide + x);
#pragma unroll
                    for (int y = 0; y < 3; y++) {
                        if (0 <= in_y - y && in_y - y < Rows) {
                            const unsigned(&w)[4] = weights[3 * y + x][step];
                            multiply<Half>(sum[in_y - y][0], voxels, w[0], w[1]);
                            multiply<Half>(sum[in_y - y][1], voxels, w[2], w[3]);
                        }
                    }
                }
            }
        }
    }

    // The sums of each plane become those of the one before it.
    __device__ __forceinline__ void turn() {
#pragma unroll
        for (float(&row)[2][4] : sum) {
#pragma unroll
            for (int half = 0; half < 4; half += 2) {
                row[1][half] = row[0][half + 1];
                row[0][half + 1] = row[0][half];
                row[0][half] = 0.0f;
            }
        }
    }
};

// Writes the finished sums of the warp's rows, the first voxel of which is `first` in the part. Lanes with class 0 find
// the most probable classes of voxels 0 to 7, those with class 1 of voxels 8 to 15.
template <bool MayTakeProbabilities, int Rows>
__device__ __forceinline__ void store(const float (&sum)[Rows][2][4], float bias, const Place (&places)[2],
                                      Shape extent, Shape first) {
    const int which = threadIdx.x % 4, rows = min(Rows, extent.y - first.y);
    const bool is_near = which == 0;
    first.x += threadIdx.x % 32 / 4;
    float near[Rows], far[Rows];
    uint8_t found[Rows];
#pragma unroll
    for (int row = 0; row < Rows; row++) {
        near[row] = sum[row][1][0] + bias;
        far[row] = sum[row][1][2] + bias;
        const float exchanged = __shfl_xor_sync(~0u, is_near ? far[row] : near[row], 1);
        const float near_third = __shfl_down_sync(~0u, near[row], 2), far_third = __shfl_down_sync(~0u, far[row], 1);
        found[row] = most_probable(is_near ? near[row] : exchanged, is_near ? exchanged : far[row],
                                   is_near ? near_third : far_third);
    }
#pragma unroll
    for (const Place& place : places) {
        const long long number = place.number(first), width = place.extent.x;
        if (place.values) {
            const bool is_logit = !MayTakeProbabilities || !place.takes_probabilities;
#pragma unroll
            for (int row = 0; row < Rows; row++) {
                const float near_value = is_logit ? near[row] : lane_softmax(near[row]);
                const float far_value = is_logit ? far[row] : lane_softmax(far[row]);
                const bool has_class = which < Classes && row < rows;
                if (has_class && first.x < extent.x) {
                    place.put(number + row * width, which, near_value);
                }
                if (has_class && first.x + 8 < extent.x) {
                    place.put(number + row * width + 8, which, far_value);
                }
            }
        }
        if (place.classes && which < 2 && first.x + 8 * which < extent.x) {
#pragma unroll
            for (int row = 0; row < Rows; row++) {
                if (row < rows) {
                    place.put_class(number + row * width + 8 * which, found[row]);
                }
            }
        }
    }
}

// What writes no probabilities has no code for them, which would be the larger part of its loop.
template <bool MayTakeProbabilities, class Half>
__device__ void class_conv(const ClassConvolution<Half>& conv) {
    using Tile = March<Half>;
    __shared__ typename Tile::Shared shared;
    const Shape tile = {static_cast<int>(blockIdx.z) * Tile::Depth, static_cast<int>(blockIdx.y) * Tile::Side,
                        static_cast<int>(blockIdx.x) * Tile::Side};
    const Shape origin = input_origin(conv, tile);
    Tile march(shared, conv.conv, origin);
    const float bias = __ldg(conv.conv.epilogue + min(static_cast<int>(threadIdx.x % 4), Classes - 1));
    const int before = origin.z, behind = before + min(Tile::Depth, conv.extent.z - tile.z) + 1;
    const int row = static_cast<int>(threadIdx.x / 32) * Tile::Rows;
    const auto is_there = [&](int z) { return 0 <= z && z < min(conv.conv.in.z, behind + 1); };
    if (Planes == 2) {
        march.fetch(before, is_there(before));
    }
#pragma unroll 1
    for (int z = before; z <= behind; z++) {
        // What was fetched is there for all, and nobody uses the plane before any more.
#if __CUDA_ARCH__ >= 800
        await_copies();
#endif
        __syncthreads();
        march.fetch(z + Planes - 1, is_there(z + Planes - 1));
        if (Planes == 1) {
            __syncthreads();
        }
        if (is_there(z)) {
            march.multiply_all(z);
        }
        const Shape at = {z - 1 - conv.first.z, tile.y + row, tile.x};
        if (at.z >= tile.z) {
            store<MayTakeProbabilities>(march.sum, bias, conv.places, conv.extent, at);
        }
        march.turn();
    }
}

// With fused multiply-adds.
template <class Value>
__device__ void class_conv_fma(const ClassConvolution<Value, float>& conv) {
    __shared__ Chunk<Value> shared;
    const Shape tile = {static_cast<int>(blockIdx.z) * TileZ, static_cast<int>(blockIdx.y) * TileY,
                        static_cast<int>(blockIdx.x) * TileX};
    const int run = threadIdx.x / 8;
    const Shape first = {run / 4, static_cast<int>(threadIdx.x % 8), run % 4 * Run};
    float sum[Run][Classes] = {};
#pragma unroll 1
    for (int channel = 0; channel < Cin; channel += shared.Size) {
        __syncthreads();
        shared.load(conv.conv, input_origin(conv, tile), channel);
        __syncthreads();
        shared.accumulate(first, sum);
    }
    __syncthreads();
    float4* logits = shared.logits + ((first.z * TileY + first.y) * RowPitch + first.x * Classes) / 4;
    const auto logit = [&](int i) { return sum[i / Classes][i % Classes] + __ldg(conv.conv.epilogue + i % Classes); };
#pragma unroll
    for (int i = 0; i < Run * Classes; i += 4) {
        logits[i / 4] = make_float4(logit(i), logit(i + 1), logit(i + 2), logit(i + 3));
    }
    __syncthreads();
    store(shared, conv, tile);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(Threads) class_conv_f32(ClassConvolution<float> conv) { class_conv_fma(conv); }

extern "C" __global__ void __launch_bounds__(Threads, 3) class_conv_f16(ClassConvolution<__half> conv) {
    class_conv<false>(conv);
}

extern "C" __global__ void __launch_bounds__(Threads, 3) class_conv_probabilities_f16(ClassConvolution<__half> conv) {
    class_conv<true>(conv);
}

#if __CUDA_ARCH__ >= 800
extern "C" __global__ void __launch_bounds__(Threads, 3) class_conv_bf16(ClassConvolution<__nv_bfloat16> conv) {
    class_conv<false>(conv);
}

extern "C" __global__ void __launch_bounds__(Threads, 3) class_conv_probabilities_bf16(ClassConvolution<__nv_bfloat16> conv) {
    class_conv<true>(conv);
}

// In training, whose logits are those of weights in f32.
extern "C" __global__ void __launch_bounds__(Threads) class_conv_training_bf16(ClassConvolution<__nv_bfloat16, float> conv) {
    class_conv_fma(conv);
}
#endif
