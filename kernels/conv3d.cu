// 3x3x3 convolution, padding 1, stride 1 or 2.
//
// `y[o][c] = bias[c] + sum_(k, i) x[stride * o + k - 1][i] * w[c][i][k]`, weights packed `[z][y][x][i][c]`. At stride 1 it
// is the residual block's: x is `relu(scale * h + shift)`, applied while h is loaded, and h itself is added
// to the result. One block of threads computes a tile of 4x4x8 voxels with all 64 channels.
#include "common/fma_tile.cuh"

namespace {

constexpr int Cout = 64, TileZ = 4, TileY = 4;

template <int Stride, int Cin, int Chunk>
using Tile = FmaTile<3, Stride, Cin, Cout, Chunk, TileZ, TileY>;

template <class Tile>
__device__ Shape tile_origin() {
    return {static_cast<int>(blockIdx.z) * TileZ, static_cast<int>(blockIdx.y) * TileY,
            static_cast<int>(blockIdx.x) * Tile::TileX};
}

// Where the input of the tile begins, its border included.
__device__ Shape input_origin(Shape tile, int stride) {
    return {tile.z * stride - 1, tile.y * stride - 1, tile.x * stride - 1};
}

// Writes the thread's run: `bias + sum`, plus the skip connection where there is one.
template <class Tile>
__device__ void store(const Tile& tile, const Convolution<float>& conv, Shape origin, const float4 (&sum)[8]) {
    const float4 bias = __ldg(reinterpret_cast<const float4*>(conv.epilogue + 4 * tile.lane));
    const Shape first = {origin.z + tile.z, origin.y + tile.y, origin.x};
#pragma unroll
    for (int v = 0; v < Tile::TileX; v++) {
        const Shape at = {first.z, first.y, first.x + v};
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
    Tile<2, Cin, 8> tile;
    const Shape origin = tile_origin<decltype(tile)>();
    float4 sum[8];
    tile.run(conv.input, conv.weights, conv.in, input_origin(origin, 2), Same(), sum);
    store(tile, conv, origin, sum);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256) conv3d_halve_32_f32(Convolution<float> conv) { halve<32>(conv); }

extern "C" __global__ void __launch_bounds__(256) conv3d_halve_64_f32(Convolution<float> conv) { halve<64>(conv); }

extern "C" __global__ void __launch_bounds__(256, 2) conv3d_residual_f32(Convolution<float> conv) {
    Tile<1, 64, 16> tile;
    const Shape origin = tile_origin<decltype(tile)>();
    const float* affine = conv.prologue;
    float4 sum[8];
    tile.run(conv.input, conv.weights, conv.in, input_origin(origin, 1),
             [affine](float4 value, int channel) { return relu_affine(value, affine, 64, channel); }, sum);
    store(tile, conv, origin, sum);
}
