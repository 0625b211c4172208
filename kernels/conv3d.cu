// 3x3x3 convolution, padding 1, stride 1 or 2.
//
// `y[o][c] = bias[c] + sum_(k, i) x[stride * o + k - 1][i] * w[c][i][k]`. At stride 1 it is the residual block's: x is
// `relu(scale * h + shift)`, applied while h is loaded, and h itself is added to the result. One block of threads
// computes a tile of voxels with all 64 channels: in f32 with fused multiply-adds, weights packed
// `[z][y][x][i][c]`; in f16 and bf16 on tensor cores.
#include "common/fma_tile.cuh"
#include "common/half8.cuh"
#include "common/mma_store.cuh"
#include "common/mma_tile.cuh"

namespace {

constexpr int Cout = 64;

template <int Stride, int Cin, int Chunk>
using Fma = FmaTile<3, Stride, Cin, Cout, Chunk, 4, 4>;

template <class Half, int Stride, int Cin, int Chunk, int TileY, int Ahead>
using Mma = MmaTile<Half, 3, Stride, Cin, Cout, Chunk, 4, TileY, Ahead>;

// The first voxel of the block's tile.
template <int TileZ, int TileY>
__device__ Shape tile_origin() {
    return {static_cast<int>(blockIdx.z) * TileZ, static_cast<int>(blockIdx.y) * TileY,
            static_cast<int>(blockIdx.x) * 8};
}

// Where the input of the tile begins, its border included.
__device__ Shape input_origin(Shape tile, int stride) {
    return {tile.z * stride - 1, tile.y * stride - 1, tile.x * stride - 1};
}

// Writes the thread's run: `bias + sum`, plus the skip connection where there is one.
template <class Tile>
__device__ void store(const Tile& tile, const Convolution<float>& conv, Shape origin, const float4 (&sum)[8]) {
    const float4 bias = __ldg(reinterpret_cast<const float4*>(conv.epilogue + 4 * tile.lane));
#pragma unroll
    for (int v = 0; v < Tile::TileX; v++) {
        const Shape at = {origin.z + tile.z, origin.y + tile.y, origin.x + v};
        if (inside(conv.out, at)) {
            const long long place = voxel(conv.out, at) * Cout + 4 * tile.lane;
            float4 value = sum[v] + bias;
            if (conv.skip) {
                value = value + *reinterpret_cast<const float4*>(conv.skip + place);
            }
            *reinterpret_cast<float4*>(static_cast<float*>(conv.output) + place) = value;
        }
    }
}

template <int Cin>
__device__ void halve(const Convolution<float>& conv) {
    Fma<2, Cin, 8> tile;
    const Shape origin = tile_origin<4, 4>();
    float4 sum[8];
    tile.run(conv.input, conv.weights, conv.in, input_origin(origin, 2), Same(), sum);
    store(tile, conv, origin, sum);
}

template <int Cin, class Half>
__device__ void halve(const Convolution<Half>& conv) {
    using Tile = Mma<Half, 2, Cin, 16, 4, 2>;
    __shared__ typename Tile::Shared shared;
    Tile tile;
    const Shape origin = tile_origin<4, 4>();
    tile.run(shared, conv.input, conv.weights, conv.in, input_origin(origin, 2), Same());
    store_sums<Cout, 1, false>(tile, conv, 0, origin);
}

template <class Half>
__device__ void residual(const Convolution<Half>& conv) {
    using Tile = Mma<Half, 1, 64, 16, 8, 1>;
    __shared__ typename Tile::Shared shared;
    Tile tile;
    const Shape origin = tile_origin<4, 8>();
    // Scales and shifts; every voxel needs them. The tile begins with a barrier.
    __shared__ float4 affine[2 * 64 / 4];
    if (threadIdx.x < 2 * 64 / 4) {
        affine[threadIdx.x] = __ldg(reinterpret_cast<const float4*>(conv.prologue) + threadIdx.x);
    }
    const auto norm = [&](uint4 packed, int channel) {
        float values[8];
        to_floats<Half>(packed, values);
        const float4 *const scales = affine + channel / 4, *const shifts = scales + 64 / 4;
        Affine8{{scales[0], scales[1]}, {shifts[0], shifts[1]}}.relu(values);
        return to_halves<Half>(values);
    };
    tile.run(shared, conv.input, conv.weights, conv.in, input_origin(origin, 1), norm);
    store_sums<Cout, 1, true>(tile, conv, 0, origin);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256) conv3d_halve_32_f32(Convolution<float> conv) { halve<32>(conv); }

extern "C" __global__ void __launch_bounds__(256) conv3d_halve_64_f32(Convolution<float> conv) { halve<64>(conv); }

extern "C" __global__ void __launch_bounds__(256, 2) conv3d_residual_f32(Convolution<float> conv) {
    Fma<1, 64, 16> tile;
    const Shape origin = tile_origin<4, 4>();
    const float* affine = conv.prologue;
    float4 sum[8];
    tile.run(conv.input, conv.weights, conv.in, input_origin(origin, 1),
             [affine](float4 value, int channel) { return relu_affine(value, affine, 64, channel); }, sum);
    store(tile, conv, origin, sum);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, SmallTiles) conv3d_halve_32_f16(Convolution<__half> conv) {
    halve<32>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, SmallTiles) conv3d_halve_64_f16(Convolution<__half> conv) {
    halve<64>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, LargeTiles) conv3d_residual_f16(Convolution<__half> conv) {
    residual(conv);
}

#if __CUDA_ARCH__ >= 800
extern "C" __global__ void __launch_bounds__(32 * Warps, SmallTiles) conv3d_halve_32_bf16(Convolution<__nv_bfloat16> conv) {
    halve<32>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, SmallTiles) conv3d_halve_64_bf16(Convolution<__nv_bfloat16> conv) {
    halve<64>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, LargeTiles) conv3d_residual_bf16(Convolution<__nv_bfloat16> conv) {
    residual(conv);
}
#endif
