// Transposed convolution 4x4x4, stride 2, padding 1, cropped to the extent of its skip connection.
//
// `out[2j + p][c] = skip + relu(scale * sum + shift)`, `sum = sum_(t, i) x[j + p - 1 + t][i] * w[p][t][i][c]`: each of the
// eight parities p is a 2x2x2 convolution of its own weights, packed `[p][t][i][c]` with p and t as z, y, x. The layer's bias is part of
// the shift. The parity is the fastest part of the grid, so that the eight tiles over one stretch of input run together;
// voxels that the crop drops are never written. `skip` and `output` may be the same.
#include "common/fma_tile.cuh"

namespace {

constexpr int Cin = 64, TileZ = 4;

template <int Cout, int TileY>
__device__ void double_grid(const Convolution<float>& conv) {
    FmaTile<2, 1, Cin, Cout, 16, TileZ, TileY> tile;
    const int number = blockIdx.x % 8;
    const Shape parity = {number / 4, number / 2 % 2, number % 2};
    const Shape origin = {static_cast<int>(blockIdx.z) * TileZ, static_cast<int>(blockIdx.y) * TileY,
                          static_cast<int>(blockIdx.x / 8) * tile.TileX};
    const Shape first = {origin.z + parity.z - 1, origin.y + parity.y - 1, origin.x + parity.x - 1};
    float4 sum[8];
    tile.run(conv.input, conv.weights + number * 8 * Cin * Cout, conv.in, first, Same(), sum);
#pragma unroll
    for (int v = 0; v < tile.TileX; v++) {
        const Shape at = {2 * (origin.z + tile.z) + parity.z, 2 * (origin.y + tile.y) + parity.y,
                          2 * (origin.x + v) + parity.x};
        if (inside(conv.out, at)) {
            const long long place = voxel(conv.out, at) * Cout + 4 * tile.lane;
            const float4 skip = *reinterpret_cast<const float4*>(conv.skip + place);
            const float4 value = skip + relu_affine(sum[v], conv.epilogue, Cout, 4 * tile.lane);
            *reinterpret_cast<float4*>(static_cast<float*>(conv.output) + place) = value;
        }
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256, 2) conv_transpose3d_64_f32(Convolution<float> conv) {
    double_grid<64, 4>(conv);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_transpose3d_32_f32(Convolution<float> conv) {
    double_grid<32, 8>(conv);
}
