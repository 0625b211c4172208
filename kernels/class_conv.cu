// The last convolution: 3x3x3, padding 1, 32 channels to the logits of three classes, `[z][y][x][class]` in f32, and to the most
// probable class, u8.
//
// `y[o][c] = bias[c] + sum_(k, i) x[o + k - 1][i] * w[k][c][i]`, for the part of a block of the volume that the block answers
// for. In f32, weights packed `[z][y][x][c][i]`, a block of threads
// computes 4x8x16 voxels, a thread 4 of them along x with all classes. Neighbouring threads take neighbouring rows, whose
// distance in shared memory is an odd number of 16 bytes, so that they read without conflict; the result goes through shared
// memory too, to be written in whole sectors. On tensor cores the classes are the first columns of a matrix of 8.
#include "common/fma_tile.cuh"
#include "common/grid.cuh"
#include "common/mma_tile.cuh"
#include "common/places.cuh"

namespace {

constexpr int Cin = 32, Chunk = 8, Threads = 128;
constexpr int TileZ = 4, TileY = 8, TileX = 16, Run = 4;
constexpr int InZ = TileZ + 2, InY = TileY + 2, InX = TileX + 2;
constexpr int Pitch = InX * Chunk + 4;
constexpr int Row = TileX * Classes, RowPitch = Row + 4;  // of logits

// `ClassConvolution` in src/ops/class_conv.rs; the output of `conv` is not used.
template <class Value>
struct ClassConvolution {
    Convolution<Value> conv;
    Shape first, extent;  // of the part, in the block
    Place places[2];
};

struct Shared {
    float4 weights[27 * Classes * Chunk / 4];
    union {
        float voxels[InZ * InY * Pitch];
        float4 logits[TileZ * TileY * RowPitch / 4];
    };
};

__device__ void load(Shared& shared, const Convolution<float>& conv, Shape origin, int channel) {
    constexpr int Groups = Chunk / 4;
    for (int i = threadIdx.x; i < 27 * Classes * Groups; i += Threads) {
        const float* found = conv.weights + i / Groups * Cin + channel + i % Groups * 4;
        shared.weights[i] = __ldg(reinterpret_cast<const float4*>(found));
    }
    load_box<InZ, InY, InX, Chunk, Pitch, Cin, Threads>(shared.voxels, conv.input, conv.in, origin, channel, Same());
}

__device__ __forceinline__ float add(float sum, float4 value, float4 weight) {
    sum = fmaf(value.x, weight.x, sum);
    sum = fmaf(value.y, weight.y, sum);
    sum = fmaf(value.z, weight.z, sum);
    return fmaf(value.w, weight.w, sum);
}

// Adds the products of the chunk for the thread's 4 voxels from `first` on.
__device__ void accumulate(const Shared& shared, Shape first, float (&sum)[Run][Classes]) {
#pragma unroll 1
    for (int zy = 0; zy < 9; zy++) {
        const float* row = shared.voxels + ((first.z + zy / 3) * InY + first.y + zy % 3) * Pitch + first.x * Chunk;
#pragma unroll
        for (int group = 0; group < Chunk / 4; group++) {
            float4 value[Run + 2];
#pragma unroll
            for (int x = 0; x < Run + 2; x++) {
                value[x] = *reinterpret_cast<const float4*>(row + x * Chunk + 4 * group);
            }
#pragma unroll
            for (int i = 0; i < 3 * Classes; i++) {
                const float4 weight = shared.weights[(zy * 3 * Classes + i) * (Chunk / 4) + group];
#pragma unroll
                for (int v = 0; v < Run; v++) {
                    sum[v][i % Classes] = add(sum[v][i % Classes], value[v + i / Classes], weight);
                }
            }
        }
    }
}

// From shared memory to the volume, along rows; `tile` is the first voxel's place in the part.
__device__ void store(const Shared& shared, const ClassConvolution<float>& conv, Shape tile) {
    const float* logits = reinterpret_cast<const float*>(shared.logits);
    for (int i = threadIdx.x; i < TileZ * TileY * Row; i += Threads) {
        const int row = i / Row, in_row = i % Row;
        const Shape at = {tile.z + row / TileY, tile.y + row % TileY, tile.x + in_row / Classes};
        if (inside(conv.extent, at)) {
            put(conv.places, at, in_row % Classes, logits[row * RowPitch + in_row]);
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
template <class Value>
__device__ Shape input_origin(const ClassConvolution<Value>& conv, Shape tile) {
    return {conv.first.z + tile.z - 1, conv.first.y + tile.y - 1, conv.first.x + tile.x - 1};
}

// On tensor cores.
template <class Half>
__device__ void class_conv(const ClassConvolution<Half>& conv) {
    using Tile = MmaTile<Half, 3, 1, Cin, 8, 32, 4, 8>;
    __shared__ typename Tile::Shared shared;
    Tile tile;
    const Shape origin = {static_cast<int>(blockIdx.z) * 4, static_cast<int>(blockIdx.y) * 8,
                          static_cast<int>(blockIdx.x) * 8};
    tile.run(shared, conv.conv.input, conv.conv.weights, conv.conv.in, input_origin(conv, origin), Same());
    // Lane 4r holds the first two classes of voxel r of a row, lane 4r + 1 the third: 24 lanes take one logit each, and 8 of
    // them the class.
    const int lane = threadIdx.x % 32, in_row = lane / Classes, which = lane % Classes;
    const int source = 4 * (in_row % 8) + which / 2;
    const float bias = __ldg(conv.conv.epilogue + which);
#pragma unroll
    for (int m = 0; m < Tile::Matrices; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float even = __shfl_sync(~0u, tile.sum[m][0][2 * half], source);
            const float odd = __shfl_sync(~0u, tile.sum[m][0][2 * half + 1], source);
            const float logit = (which == 1 ? odd : even) + bias;
            const float second = __shfl_down_sync(~0u, logit, 1), third = __shfl_down_sync(~0u, logit, 2);
            const Shape first = Tile::row(m);
            const Shape at = {origin.z + first.z, origin.y + first.y + half, origin.x + in_row};
            if (in_row < 8 && inside(conv.extent, at)) {
                put(conv.places, at, which, logit);
                if (which == 0) {
                    put_class(conv.places, at, most_probable(logit, second, third));
                }
            }
        }
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(Threads) class_conv_f32(ClassConvolution<float> conv) {
    __shared__ Shared shared;
    const Shape tile = {static_cast<int>(blockIdx.z) * TileZ, static_cast<int>(blockIdx.y) * TileY,
                        static_cast<int>(blockIdx.x) * TileX};
    const int run = threadIdx.x / 8;
    const Shape first = {run / 4, static_cast<int>(threadIdx.x % 8), run % 4 * Run};
    float sum[Run][Classes] = {};
#pragma unroll 1
    for (int channel = 0; channel < Cin; channel += Chunk) {
        __syncthreads();
        load(shared, conv.conv, input_origin(conv, tile), channel);
        __syncthreads();
        accumulate(shared, first, sum);
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

extern "C" __global__ void __launch_bounds__(256, LargeTiles) class_conv_f16(ClassConvolution<__half> conv) {
    class_conv(conv);
}

#if __CUDA_ARCH__ >= 800
extern "C" __global__ void __launch_bounds__(256, LargeTiles) class_conv_bf16(ClassConvolution<__nv_bfloat16> conv) {
    class_conv(conv);
}
#endif
