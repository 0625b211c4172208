// Transposed convolution 4x4x4, stride 2, padding 1, cropped to the extent of its skip connection.
//
// `out[2j + p][c] = skip + relu(scale * sum + shift)`, `sum = sum_(t, i) x[j + p - 1 + t][i] * w[p][t][i][c]`: each of the
// eight parities p is a 2x2x2 convolution of its own weights; p and t are z, y, x. The layer's bias is part of the
// shift. Computed is a part of the output alone; voxels outside it, and those that the crop drops, are never written. The
// parity is the fastest part of the grid, so that the eight tiles over one stretch of input run together. `skip` and `output`
// may be the same. In f32 with fused multiply-adds, weights packed `[p][t][i][c]`; in f16 and bf16 on tensor cores.
#include "common/fma_tile.cuh"
#include "common/half8.cuh"
#include "common/mma_tile.cuh"

namespace {

constexpr int Cin = 64, TileZ = 4, TileX = 8;
// `DoublingArguments` in src/ops/conv_transpose3d.rs.
template <class Value>
struct Doubling {
    Convolution<Value> conv;
    Shape first, extent;  // of the part, in the output

    __device__ bool has(Shape at) const { return inside(extent, {at.z - first.z, at.y - first.y, at.x - first.x}); }
};

// What one block computes: one parity over a tile of input voxels, the first of which is the one beneath the part's first.
template <int TileY>
struct ParityTile {
    int number;
    Shape parity, origin;

    __device__ explicit ParityTile(Shape first) {
        number = blockIdx.x % 8;
        parity = {number / 4, number / 2 % 2, number % 2};
        origin = {first.z / 2 + static_cast<int>(blockIdx.z) * TileZ, first.y / 2 + static_cast<int>(blockIdx.y) * TileY,
                  first.x / 2 + static_cast<int>(blockIdx.x / 8) * TileX};
    }

    // The first input voxel that the tile looks at.
    __device__ Shape input() const {
        return {origin.z + parity.z - 1, origin.y + parity.y - 1, origin.x + parity.x - 1};
    }

    // The output voxel of a voxel of the tile.
    __device__ Shape output(Shape at) const {
        return {2 * (origin.z + at.z) + parity.z, 2 * (origin.y + at.y) + parity.y, 2 * (origin.x + at.x) + parity.x};
    }
};

template <int Cout, int TileY>
__device__ void double_grid(const Doubling<float>& doubling) {
    const Convolution<float>& conv = doubling.conv;
    FmaTile<2, 1, Cin, Cout, 16, TileZ, TileY> tile;
    const ParityTile<TileY> parity_tile(doubling.first);
    float4 sum[8];
    tile.run(conv.input, conv.weights + parity_tile.number * 8 * Cin * Cout, conv.in, parity_tile.input(), Same(), sum);
#pragma unroll
    for (int v = 0; v < tile.TileX; v++) {
        const Shape at = parity_tile.output({tile.z, tile.y, v});
        if (doubling.has(at)) {
            const long long place = voxel(conv.out, at) * Cout + 4 * tile.lane;
            const float4 skip = *reinterpret_cast<const float4*>(conv.skip + place);
            const float4 value = skip + relu_affine(sum[v], conv.epilogue, Cout, 4 * tile.lane);
            *reinterpret_cast<float4*>(static_cast<float*>(conv.output) + place) = value;
        }
    }
}

template <int Cout, int TileY, class Half>
__device__ void double_grid(const Doubling<Half>& doubling) {
    const Convolution<Half>& conv = doubling.conv;
    using Tile = MmaTile<Half, 2, 1, Cin, Cout, 32, TileZ, TileY, 1>;
    __shared__ typename Tile::Shared shared;
    Tile tile;
    const ParityTile<TileY> parity_tile(doubling.first);
    tile.run(shared, conv.input, conv.weights + parity_tile.number * Tile::Packed, conv.in, parity_tile.input(), Same());
    // The first output voxel of the tile, in the volume and in the part.
    const Shape first = parity_tile.output({0, 0, 0});
    const Shape in_part = {first.z - doubling.first.z, first.y - doubling.first.y, first.x - doubling.first.x};
    const Strides<Cout> strides(conv.out);
    const long long start = strides.to(first);
    const auto place = [&](Shape at, int channel) { return start + strides.to({2 * at.z, 2 * at.y, 2 * at.x}) + channel; };
    const auto has = [&](Shape at) {
        return inside(doubling.extent, {in_part.z + 2 * at.z, in_part.y + 2 * at.y, in_part.x + 2 * at.x});
    };
    const auto skip = [&](Shape at, int channel) {
        return has(at) ? *reinterpret_cast<const uint4*>(conv.skip + place(at, channel)) : make_uint4(0, 0, 0, 0);
    };
    const auto norm = [&](int channel) { return Affine8::of(conv.epilogue, Cout, channel); };
    tile.each(norm, skip, [&](Shape at, int channel, float (&values)[8], const Affine8& affine, uint4 skipped) {
        if (has(at)) {
            affine.relu(values);
            add<Half>(values, skipped);
            *reinterpret_cast<uint4*>(static_cast<Half*>(conv.output) + place(at, channel)) = to_halves<Half>(values);
        }
    });
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256, 2) conv_transpose3d_64_f32(Doubling<float> doubling) {
    double_grid<64, 4>(doubling);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_transpose3d_32_f32(Doubling<float> doubling) {
    double_grid<32, 8>(doubling);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, LargeTiles) conv_transpose3d_64_f16(Doubling<__half> doubling) {
    double_grid<64, 8>(doubling);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, SmallTiles) conv_transpose3d_32_f16(Doubling<__half> doubling) {
    double_grid<32, 8>(doubling);
}

#if __CUDA_ARCH__ >= 800
extern "C" __global__ void __launch_bounds__(32 * Warps, LargeTiles) conv_transpose3d_64_bf16(Doubling<__nv_bfloat16> doubling) {
    double_grid<64, 8>(doubling);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, SmallTiles) conv_transpose3d_32_bf16(Doubling<__nv_bfloat16> doubling) {
    double_grid<32, 8>(doubling);
}
#endif
