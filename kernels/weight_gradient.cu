// Gradients to the weights of all convolutions: `dw[k][a][b] = sum_o fine[stride * o + k - 1][a] * coarse[o][b]` over the voxels o of
// the coarse grid and of all volumes.
//
// For a convolution fine is its input and coarse the gradient to its output, for a transposed one the other way round. A
// block of threads adds up one chunk of voxels for one position k; `weight_gradient_finish` adds the chunks in their order and
// puts the sums where the weights are.
// Where one side has two or three channels, a warp has one position and its lanes the 32 channels of the other side.
// In bf16 a block between many channels is on tensor cores, and has the positions that differ in x alone, for a chunk of tiles.
#include "common/affine.cuh"
#include "common/gradient_tile.cuh"
#include "common/grid.cuh"
#include "common/vectors.cuh"
#include "common/weight_order.cuh"

// `Arguments` in src/device/cuda/training/weight_gradient.rs. Pointers that a kernel has no use for are null.
template <class Fine, class Coarse>
struct WeightGradient {
    const Fine* fine;             // [n][z][y][x][a]
    const Coarse* coarse;         // [n][z][y][x][b]
    float* partial;               // [chunk][k][a][b]
    WeightOrders orders;          // in which one [k][a][b] is
    float* gradient;              // to all parameters
    Shape fine_extent, coarse_extent;
    int parts;  // of the coarse grid, all volumes: voxels, on tensor cores tiles
    int chunk;  // parts of a block
    int chunks;
    int count;  // of [k][a][b]
};

using InFloats = WeightGradient<float, float>;
using InHalves = WeightGradient<__nv_bfloat16, __nv_bfloat16>;
using ThinInFloats = WeightGradient<float, __nv_bfloat16>;

namespace {

constexpr int Step = 32;  // voxels that a block holds at a time
constexpr int FinishThreads = 512;

// The voxel of number `i` of a batch, with its volume.
struct Found {
    int volume;
    Shape at;

    __device__ Found(Shape extent, int i) {
        const int row = i / extent.x, plane = row / extent.y;
        volume = plane / extent.z;
        at = {plane % extent.z, row % extent.y, i % extent.x};
    }
};

// Number of the voxel at position `tap` of the window around coarse voxel `found`; -1 outside.
template <int Taps, int Stride>
__device__ int partner(Shape extent, Found found, int tap) {
    const Shape at = {found.at.z * Stride + tap / (Taps * Taps) - 1, found.at.y * Stride + tap / Taps % Taps - 1,
                      found.at.x * Stride + tap % Taps - 1};
    return inside(extent, at) ? static_cast<int>(voxel(extent, at)) + found.volume * extent.z * extent.y * extent.x : -1;
}

template <int Taps, int Stride, int A, int B>
__device__ void wide(const InFloats& conv) {
    constexpr int Threads = (A / 4) * (B / 4);
    __shared__ int partners[Step];
    __shared__ __align__(16) float fine[Step][A];
    __shared__ __align__(16) float coarse[Step][B];
    const int tap = blockIdx.x, lane = threadIdx.x % (B / 4), row = threadIdx.x / (B / 4);
    const int first = blockIdx.y * conv.chunk, end = min(first + conv.chunk, conv.parts);
    const float4 zero = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    float4 sum[4] = {zero, zero, zero, zero};
    for (int start = first; start < end; start += Step) {
        __syncthreads();
        if (threadIdx.x < Step) {
            const int i = start + threadIdx.x;
            partners[threadIdx.x] =
                i < end ? partner<Taps, Stride>(conv.fine_extent, Found(conv.coarse_extent, i), tap) : -1;
        }
        __syncthreads();
#pragma unroll
        for (int i = threadIdx.x; i < Step * A / 4; i += Threads) {
            const int step = i / (A / 4), channel = i % (A / 4) * 4, from = partners[step];
            float4 value = zero;
            if (from >= 0) {
                value = *reinterpret_cast<const float4*>(conv.fine + static_cast<long long>(from) * A + channel);
            }
            *reinterpret_cast<float4*>(&fine[step][channel]) = value;
        }
#pragma unroll
        for (int i = threadIdx.x; i < Step * B / 4; i += Threads) {
            const int step = i / (B / 4), channel = i % (B / 4) * 4;
            const long long place = static_cast<long long>(start + step) * B + channel;
            *reinterpret_cast<float4*>(&coarse[step][channel]) =
                start + step < end ? *reinterpret_cast<const float4*>(conv.coarse + place) : zero;
        }
        __syncthreads();
#pragma unroll 8
        for (int step = 0; step < Step; step++) {
            const float4 a = *reinterpret_cast<const float4*>(&fine[step][4 * row]);
            const float4 b = *reinterpret_cast<const float4*>(&coarse[step][4 * lane]);
            multiply_add(sum[0], a.x, b);
            multiply_add(sum[1], a.y, b);
            multiply_add(sum[2], a.z, b);
            multiply_add(sum[3], a.w, b);
        }
    }
    float* partial = conv.partial + (static_cast<long long>(blockIdx.y) * gridDim.x + tap) * A * B;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        store_global(partial + (4 * row + i) * B + 4 * lane, sum[i]);
    }
}

#if __CUDA_ARCH__ >= 800
// Tiles of the coarse grid, one after the other along x, y, z and the volumes.
template <class Tile>
struct Tiles {
    static constexpr int Y = Tile::TileY, X = Tile::TileX;
    Shape extent;  // of the grid
    Shape at;
    int volume;

    __device__ __forceinline__ Tiles(Shape extent, int first) : extent(extent) {
        const Found found({extent.z, (extent.y + Y - 1) / Y, (extent.x + X - 1) / X}, first);
        volume = found.volume;
        at = {found.at.z, found.at.y * Y, found.at.x * X};
    }

    __device__ __forceinline__ void go_on() {
        at.x += X;
        if (at.x >= extent.x) {
            at.x = 0;
            at.y += Y;
        }
        if (at.y >= extent.y) {
            at.y = 0;
            at.z++;
        }
        if (at.z >= extent.z) {
            at.z = 0;
            volume++;
        }
    }
};

template <int Taps, int Stride, int A>
__device__ void wide(const InHalves& conv) {
    using Tile = GradientTile<Taps, Stride, A>;
    constexpr int Stages = Tile::Stages;
    __shared__ __align__(128) typename Tile::Stage stages[Stages];
    const int first = blockIdx.y * conv.chunk, end = min(first + conv.chunk, conv.parts);
    Tiles<Tile> tiles(conv.coarse_extent, first);
    int brought = first;
    // Ends a group of copies even where no tile is left, so that as many are waited for each time.
    const auto bring_next = [&](int stage) {
        if (brought < end) {
            Tile::bring(stages[stage], conv.coarse, conv.coarse_extent, conv.fine, conv.fine_extent, tiles.volume, tiles.at,
                        blockIdx.x / Taps, blockIdx.x % Taps);
            tiles.go_on();
            brought++;
        }
        commit_copies();
    };
#pragma unroll
    for (int stage = 0; stage < Stages - 1; stage++) {
        bring_next(stage);
    }
    Tile tile;
    int stage = 0;
    for (int i = first; i < end; i++) {
        await_copies<Stages - 2>();
        __syncthreads();
        // In place of the tile before, which all warps are through with.
        bring_next(stage == 0 ? Stages - 1 : stage - 1);
        tile.accumulate(stages[stage]);
        stage = stage == Stages - 1 ? 0 : stage + 1;
    }
    tile.store(conv.partial + (static_cast<long long>(blockIdx.y) * gridDim.x + blockIdx.x) * Taps * A * Tile::B);
}
#endif

// The voxel, and the constant 1 that carries conv1's bias.
struct WithConstant {
    static constexpr int Channels = 2;

    // The channels of 32 voxels, of which the lane's has number `voxel`; 0 where that is negative. Others do not count.
    static __device__ void load(float4* to, const float* values, int voxel) {
        to[threadIdx.x % 32] =
            voxel < 0 ? make_float4(0.0f, 0.0f, 0.0f, 0.0f) : make_float4(values[voxel], 1.0f, 0.0f, 0.0f);
    }
};

// The gradients to three logits.
struct ThreeClasses {
    static constexpr int Channels = 3;

    // As above. Neighbouring lanes take neighbouring numbers of memory.
    static __device__ void load(float4* to, const float* values, int voxel) {
#pragma unroll
        for (int round = 0; round < Channels; round++) {
            const int number = 32 * round + static_cast<int>(threadIdx.x % 32), channel = number % Channels;
            const int from = __shfl_sync(~0u, voxel, number / Channels);
            float* there = reinterpret_cast<float*>(to + number / Channels);
            there[channel] = from < 0 ? 0.0f : values[3ll * from + channel];
        }
    }
};

// A 3x3x3 window of few channels against 32.
template <class Thin, class Coarse>
__device__ void thin(const WeightGradient<float, Coarse>& conv) {
    constexpr int Taps = 27, Wide = 32;
    __shared__ float4 fine[Taps][Step];
    __shared__ float coarse[Step][Wide];
    const int lane = threadIdx.x % 32, tap = threadIdx.x / 32;
    const int first = blockIdx.y * conv.chunk, end = min(first + conv.chunk, conv.parts);
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    fine[tap][lane] = sum;
    for (int start = first; start < end; start += Step) {
        __syncthreads();
        const int i = start + lane;
        const int from = i < end ? partner<3, 1>(conv.fine_extent, Found(conv.coarse_extent, i), tap) : -1;
        Thin::load(fine[tap], conv.fine, from);
        for (int step = tap; step < Step; step += Taps) {
            const long long place = static_cast<long long>(start + step) * Wide + lane;
            coarse[step][lane] = start + step < end ? static_cast<float>(conv.coarse[place]) : 0.0f;
        }
        __syncthreads();
#pragma unroll 8
        for (int step = 0; step < Step; step++) {
            multiply_add(sum, coarse[step][lane], fine[tap][step]);
        }
    }
    const float sums[3] = {sum.x, sum.y, sum.z};
    float* partial = conv.partial + (static_cast<long long>(blockIdx.y) * Taps + tap) * Thin::Channels * Wide + lane;
#pragma unroll
    for (int channel = 0; channel < Thin::Channels; channel++) {
        partial[channel * Wide] = sums[channel];
    }
}

__device__ float sum_of_chunks(const InFloats& conv, unsigned int place) {
    float sum = 0.0f;
    for (int chunk = 0; chunk < conv.chunks; chunk++) {
        sum += conv.partial[static_cast<long long>(chunk) * conv.count + place];
    }
    return sum;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(128) weight_gradient_halve_32(InFloats conv) {
    wide<3, 2, 32, 64>(conv);
}

extern "C" __global__ void __launch_bounds__(256) weight_gradient_halve_64(InFloats conv) {
    wide<3, 2, 64, 64>(conv);
}

extern "C" __global__ void __launch_bounds__(256) weight_gradient_residual(InFloats conv) {
    wide<3, 1, 64, 64>(conv);
}

extern "C" __global__ void __launch_bounds__(128) weight_gradient_double_32(InFloats conv) {
    wide<4, 2, 32, 64>(conv);
}

extern "C" __global__ void __launch_bounds__(256) weight_gradient_double_64(InFloats conv) {
    wide<4, 2, 64, 64>(conv);
}

extern "C" __global__ void __launch_bounds__(864) weight_gradient_first(InFloats conv) {
    thin<WithConstant>(conv);
}

extern "C" __global__ void __launch_bounds__(864) weight_gradient_classes(InFloats conv) {
    thin<ThreeClasses>(conv);
}

extern "C" __global__ void __launch_bounds__(FinishThreads) weight_gradient_finish(InFloats conv) {
    __shared__ float values[WeightTurn::Side * WeightTurn::MostPitch];
    const WeightTurn turn(values, conv.orders);
    turn.each_packed([&](unsigned int place, float& value) { value = sum_of_chunks(conv, place); }, [](unsigned int) {});
    __syncthreads();
    turn.each_parameter([&](unsigned int place, float value) { conv.gradient[place] = value; });
}

// As above for sums that stay in their order.
extern "C" __global__ void __launch_bounds__(FinishThreads) weight_gradient_finish_first(InFloats conv) {
    const unsigned int i = blockIdx.x * FinishThreads + threadIdx.x;
    if (i < conv.count) {
        conv.gradient[i] = sum_of_chunks(conv, i);
    }
}

#if __CUDA_ARCH__ >= 800
extern "C" __global__ void __launch_bounds__(128, 4) weight_gradient_halve_32_bf16(InHalves conv) { wide<3, 2, 32>(conv); }

extern "C" __global__ void __launch_bounds__(128, 3) weight_gradient_halve_64_bf16(InHalves conv) { wide<3, 2, 64>(conv); }

extern "C" __global__ void __launch_bounds__(128, 3) weight_gradient_residual_bf16(InHalves conv) { wide<3, 1, 64>(conv); }

extern "C" __global__ void __launch_bounds__(128, 4) weight_gradient_double_32_bf16(InHalves conv) { wide<4, 2, 32>(conv); }

extern "C" __global__ void __launch_bounds__(128, 2) weight_gradient_double_64_bf16(InHalves conv) { wide<4, 2, 64>(conv); }

extern "C" __global__ void __launch_bounds__(864) weight_gradient_first_bf16(ThinInFloats conv) { thin<WithConstant>(conv); }

extern "C" __global__ void __launch_bounds__(864) weight_gradient_classes_bf16(ThinInFloats conv) { thin<ThreeClasses>(conv); }
#endif
