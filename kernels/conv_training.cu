// The convolutions of a training step over a batch of volumes, and their gradients to the input: in f32 with fused multiply-adds,
// in bf16 on tensor cores.
//
// A window convolution is `y[o][c] = sum_(k, i) x[stride * o + k - 1][i] * w[k][i][c]`; a doubling one computes each parity p of
// the output by `y[2j + p][c] = sum_(t, i) x[j + p - 1 + t][i] * w[p][t][i][c]`. The gradient to the input of one at stride 1 is
// the same with the kernel mirrored; that of one at stride 2 is a doubling one with 27 of its 64 taps, as an even voxel has a
// partner at the second of an axis' two taps alone; that of a doubling one is a 4x4x4 window at stride 2, on tensor cores eight
// 2x2x2 windows, each over every second voxel along each axis. To each are added a bias and a skip connection where there are
// any. All volumes are `[n][z][y][x][channel]`; the tiles of one volume after the other are along the grid's z.
//
// Weights are packed `[k][i][c]` in f32. For tensor cores they are packed as mma_tile.cuh has them, without taps that have no
// partner; eight windows, or parities, one behind the other.
#include "common/classes.cuh"
#include "common/fma_tile.cuh"
#include "common/mma_store.cuh"
#include "common/mma_tile.cuh"
#include "common/values.cuh"

namespace {

// The block's tile: its volume and its first voxel.
template <int TileZ, int TileY>
struct Place {
    int volume;
    Shape origin;

    // `column` is the tile's number along x, `over` the extent that the tiles cover.
    __device__ Place(Shape over, int column) {
        const int tiles = (over.z + TileZ - 1) / TileZ;
        volume = blockIdx.z / tiles;
        origin = {static_cast<int>(blockIdx.z) % tiles * TileZ, static_cast<int>(blockIdx.y) * TileY, column * 8};
    }
};

// How many values a volume has.
__device__ __forceinline__ long long values(Shape extent, int channels) {
    return static_cast<long long>(extent.z) * extent.y * extent.x * channels;
}

// The number of one of eight parities, z, y, x.
__device__ __forceinline__ Shape parity_of(int number) {
    return {number / 4, number / 2 % 2, number % 2};
}

// Writes 4 channels of the voxel `at` of a volume that begins at value `first`.
template <int Cout, class Output = float>
__device__ __forceinline__ void store(const Convolution<float>& conv, long long first, Shape at, int channel, float4 value) {
    if (inside(conv.out, at)) {
        const long long place = first + voxel(conv.out, at) * Cout + channel;
        if (conv.epilogue) {
            value = value + __ldg(reinterpret_cast<const float4*>(conv.epilogue + channel));
        }
        if (conv.skip) {
            value = value + *reinterpret_cast<const float4*>(conv.skip + place);
        }
        store_four(static_cast<Output*>(conv.output) + place, value);
    }
}

template <int Taps, int Stride, int Cin, int Chunk>
__device__ void window_fma(const Convolution<float>& conv) {
    constexpr int Cout = 64;
    FmaTile<Taps, Stride, Cin, Cout, Chunk, 4, 4> tile;
    const Place<4, 4> place(conv.out, blockIdx.x);
    const Shape origin = place.origin;
    float4 sum[8];
    tile.run(conv.input + place.volume * values(conv.in, Cin), conv.weights, conv.in,
             {origin.z * Stride - 1, origin.y * Stride - 1, origin.x * Stride - 1}, Same(), sum);
    const long long first = place.volume * values(conv.out, Cout);
#pragma unroll
    for (int v = 0; v < tile.TileX; v++) {
        store<Cout>(conv, first, {origin.z + tile.z, origin.y + tile.y, origin.x + v}, 4 * tile.lane, sum[v]);
    }
}

template <int Stride, int Cin, int TileY, int Ahead, class Half>
__device__ void window_mma(const Convolution<Half>& conv) {
    constexpr int Cout = 64;
    using Tile = MmaTile<Half, 3, Stride, Cin, Cout, 16, 4, TileY, Ahead>;
    __shared__ typename Tile::Shared shared;
    Tile tile;
    const Place<4, TileY> place(conv.out, blockIdx.x);
    const Shape origin = place.origin;
    tile.run(shared, conv.input + place.volume * values(conv.in, Cin), conv.weights, conv.in,
             {origin.z * Stride - 1, origin.y * Stride - 1, origin.x * Stride - 1}, Same());
    store_sums<Cout, 1, true>(tile, conv, place.volume * values(conv.out, Cout), origin);
}

// A 4x4x4 window at stride 2: position `2t + q` of it is tap t of the window over the voxels `2 * o - 1 + q` and every second one
// behind.
template <int Cin, class Half>
__device__ void window_of_four_mma(const Convolution<Half>& conv) {
    constexpr int Cout = 64;
    using Tile = MmaTile<Half, 2, 1, Cin, Cout, 32, 4, 8, 1, 2>;
    __shared__ typename Tile::Shared shared;
    Tile tile;
    const Place<4, 8> place(conv.out, blockIdx.x);
    const Shape origin = place.origin;
    const Half* const input = conv.input + place.volume * values(conv.in, Cin);
    tile.clear();
#pragma unroll 1
    for (int number = 0; number < 8; number++) {
        const Shape q = parity_of(number);
        tile.add(shared, input, conv.weights + number * 8 * Cin * Cout, conv.in,
                 {2 * origin.z - 1 + q.z, 2 * origin.y - 1 + q.y, 2 * origin.x - 1 + q.x}, Same(), AllTaps());
    }
    store_sums<Cout, 1, true>(tile, conv, place.volume * values(conv.out, Cout), origin);
}

// The taps of each parity of a doubling convolution.
struct OfFour {
    static __device__ AllTaps taps(Shape) { return {}; }
};

// Of the gradient to the input of a 3x3x3 window at stride 2: of two taps along an axis an odd voxel has both, an even one the
// second.
struct OfThree {
    static __device__ TapsFrom taps(Shape parity) { return {{1 - parity.z, 1 - parity.y, 1 - parity.x}}; }
};

template <int Cout, int TileY, class Parities>
__device__ void double_grid_fma(const Convolution<float>& conv) {
    constexpr int Cin = 64;
    FmaTile<2, 1, Cin, Cout, 16, 4, TileY> tile;
    const int number = blockIdx.x % 8;
    const Shape parity = parity_of(number);
    const Place<4, TileY> place(conv.in, blockIdx.x / 8);
    const Shape origin = place.origin;
    float4 sum[8];
    tile.run(conv.input + place.volume * values(conv.in, Cin), conv.weights + number * 8 * Cin * Cout, conv.in,
             {origin.z + parity.z - 1, origin.y + parity.y - 1, origin.x + parity.x - 1}, Same(), sum, Parities::taps(parity));
    const long long first = place.volume * values(conv.out, Cout);
#pragma unroll
    for (int v = 0; v < tile.TileX; v++) {
        const Shape at = {2 * (origin.z + tile.z) + parity.z, 2 * (origin.y + tile.y) + parity.y,
                          2 * (origin.x + v) + parity.x};
        store<Cout>(conv, first, at, 4 * tile.lane, sum[v]);
    }
}

template <int Cout, class Parities, class Half>
__device__ void double_grid_mma(const Convolution<Half>& conv) {
    constexpr int Cin = 64;
    using Tile = MmaTile<Half, 2, 1, Cin, Cout, 32, 4, 8, 1>;
    __shared__ typename Tile::Shared shared;
    Tile tile;
    const int number = blockIdx.x % 8;
    const Shape parity = parity_of(number);
    const Place<4, 8> place(conv.in, blockIdx.x / 8);
    const Shape origin = place.origin;
    const Half* weights = conv.weights;
    for (int before = 0; before < number; before++) {
        weights += Parities::taps(parity_of(before)).count(2) * Cin * Cout;
    }
    tile.clear();
    tile.add(shared, conv.input + place.volume * values(conv.in, Cin), weights, conv.in,
             {origin.z + parity.z - 1, origin.y + parity.y - 1, origin.x + parity.x - 1}, Same(), Parities::taps(parity));
    store_sums<Cout, 2, true>(tile, conv, place.volume * values(conv.out, Cout),
                              {2 * origin.z + parity.z, 2 * origin.y + parity.y, 2 * origin.x + parity.x});
}

// Gradient to the input of the last convolution: `dx[o][i] = sum_(k, c) dy[o + k - 1][c] * w[k][c][i]`, three classes c to 32
// channels, w mirrored. A block of threads computes 4x4x8 voxels, a thread 4 of them along x for 4 channels.
template <class Output>
__device__ void classes_to_input(const Convolution<float>& conv) {
    constexpr int Cout = 32, Groups = Cout / 4, Run = 4;
    constexpr int InZ = 6, InY = 6, InX = 10;
    __shared__ float4 weights[27 * Classes * Groups];  // [tap][class][channel]
    __shared__ float voxels[InZ * InY * InX * Classes];
    const Place<4, 4> place(conv.out, blockIdx.x);
    const float* input = conv.input + place.volume * values(conv.in, Classes);
    for (int i = threadIdx.x; i < 27 * Classes * Groups; i += 256) {
        weights[i] = __ldg(reinterpret_cast<const float4*>(conv.weights) + i);
    }
    for (int i = threadIdx.x; i < InZ * InY * InX * Classes; i += 256) {
        const int v = i / Classes;
        const Shape at = {place.origin.z - 1 + v / (InY * InX), place.origin.y - 1 + v / InX % InY,
                          place.origin.x - 1 + v % InX};
        voxels[i] = inside(conv.in, at) ? input[voxel(conv.in, at) * Classes + i % Classes] : 0.0f;
    }
    __syncthreads();
    const int group = threadIdx.x % Groups, run = threadIdx.x / Groups;
    const Shape first = {run / 8, run / 2 % 4, run % 2 * Run};
    float4 sum[Run];
    for (int v = 0; v < Run; v++) {
        sum[v] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
#pragma unroll 1
    for (int zy = 0; zy < 9; zy++) {
        const float* row = voxels + (((first.z + zy / 3) * InY + first.y + zy % 3) * InX + first.x) * Classes;
#pragma unroll
        for (int i = 0; i < 3 * Classes; i++) {
            const float4 weight = weights[(zy * 3 * Classes + i) * Groups + group];
#pragma unroll
            for (int v = 0; v < Run; v++) {
                multiply_add(sum[v], row[v * Classes + i], weight);
            }
        }
    }
#pragma unroll
    for (int v = 0; v < Run; v++) {
        const Shape at = {place.origin.z + first.z, place.origin.y + first.y, place.origin.x + first.x + v};
        store<Cout, Output>(conv, place.volume * values(conv.out, Cout), at, 4 * group, sum[v]);
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256, 2) conv_training_same(Convolution<float> conv) {
    window_fma<3, 1, 64, 16>(conv);
}

extern "C" __global__ void __launch_bounds__(256, 1) conv_training_halve_32(Convolution<float> conv) {
    window_fma<3, 2, 32, 8>(conv);
}

extern "C" __global__ void __launch_bounds__(256, 1) conv_training_halve_64(Convolution<float> conv) {
    window_fma<3, 2, 64, 8>(conv);
}

extern "C" __global__ void __launch_bounds__(256, 1) conv_training_halve_four_32(Convolution<float> conv) {
    window_fma<4, 2, 32, 4>(conv);
}

extern "C" __global__ void __launch_bounds__(256, 1) conv_training_halve_four_64(Convolution<float> conv) {
    window_fma<4, 2, 64, 4>(conv);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_training_double_64(Convolution<float> conv) {
    double_grid_fma<64, 4, OfFour>(conv);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_training_double_32(Convolution<float> conv) {
    double_grid_fma<32, 8, OfFour>(conv);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_training_halve_to_input_64(Convolution<float> conv) {
    double_grid_fma<64, 4, OfThree>(conv);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_training_halve_to_input_32(Convolution<float> conv) {
    double_grid_fma<32, 8, OfThree>(conv);
}

extern "C" __global__ void __launch_bounds__(256) conv_training_classes_to_input(Convolution<float> conv) {
    classes_to_input<float>(conv);
}

#if __CUDA_ARCH__ >= 800
using Bf16 = Convolution<__nv_bfloat16>;

extern "C" __global__ void __launch_bounds__(32 * Warps, LargeTiles) conv_training_same_bf16(Bf16 conv) {
    window_mma<1, 64, 8, 1>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, SmallTiles) conv_training_halve_32_bf16(Bf16 conv) {
    window_mma<2, 32, 4, 2>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, SmallTiles) conv_training_halve_64_bf16(Bf16 conv) {
    window_mma<2, 64, 4, 2>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, LargeTiles) conv_training_halve_four_32_bf16(Bf16 conv) {
    window_of_four_mma<32>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, LargeTiles) conv_training_halve_four_64_bf16(Bf16 conv) {
    window_of_four_mma<64>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, LargeTiles) conv_training_double_64_bf16(Bf16 conv) {
    double_grid_mma<64, OfFour>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, SmallTiles) conv_training_double_32_bf16(Bf16 conv) {
    double_grid_mma<32, OfFour>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, LargeTiles) conv_training_halve_to_input_64_bf16(Bf16 conv) {
    double_grid_mma<64, OfThree>(conv);
}

extern "C" __global__ void __launch_bounds__(32 * Warps, SmallTiles) conv_training_halve_to_input_32_bf16(Bf16 conv) {
    double_grid_mma<32, OfThree>(conv);
}

extern "C" __global__ void __launch_bounds__(256) conv_training_classes_to_input_bf16(Convolution<float> conv) {
    classes_to_input<__nv_bfloat16>(conv);
}
#endif
