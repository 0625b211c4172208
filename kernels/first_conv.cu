// The network's first two convolutions folded into one, with the batch norm and the ReLU behind them; in training with
// a bias alone.
//
// `c1[o][c] = relu(scale[c] * sum_k (x[o + k - 1] * w[k][0][c] + inside[o + k - 1] * w[k][1][c]) + shift[c])`: the
// second channel is 1 within the volume and 0 in its padding and carries conv1's bias. Voxels are read as they are
// stored and normalised here. In f32 a block of threads computes 4x4x16 voxels; a thread 4 voxels along x for 8 of the
// 32 channels, in two groups of 4 so that neighbouring threads write whole sectors.
//
// On tensor cores the scale is in the weights, and what the second channel adds in the shift, of which there is one for
// each way in which a window may reach out of the volume. A voxel is the sum of two halves, the second being what the
// first leaves of it: f16 keep 22 bits of it, bf16 16. Both are one word of shared memory, and one register of a matrix
// operand.
#include <cstdint>

#include "common/affine.cuh"
#include "common/grey.cuh"
#include "common/grid.cuh"
#include "common/half8.cuh"
#include "common/mma.cuh"
#include "common/values.cuh"

namespace {

constexpr int Cout = 32, Threads = 256, TileZ = 4, TileY = 4, TileX = 16, Run = 4;
constexpr int InZ = TileZ + 2, InY = TileY + 2, InX = TileX + 2;

// `FirstArguments` in src/ops/first_conv.rs; the input of `conv` is not used.
struct FirstConvolution {
    Convolution<float> conv;
    Grey grey;
};

struct Shared {
    float4 weights[27 * 2 * Cout / 4];  // [tap][voxel, constant][channel]
    float2 voxels[InZ * InY * InX];     // voxel, constant
};

template <class Voxels>
__device__ void load(Shared& shared, const Convolution<float>& conv, Voxels voxels, Shape origin) {
    for (int i = threadIdx.x; i < 27 * 2 * Cout / 4; i += Threads) {
        shared.weights[i] = __ldg(reinterpret_cast<const float4*>(conv.weights) + i);
    }
    for (int i = threadIdx.x; i < InZ * InY * InX; i += Threads) {
        const Shape at = {origin.z - 1 + i / (InY * InX), origin.y - 1 + i / InX % InY, origin.x - 1 + i % InX};
        const bool is_inside = inside(conv.in, at);
        shared.voxels[i] = is_inside ? make_float2(voxels[voxel(conv.in, at)], 1.0f) : make_float2(0.0f, 0.0f);
    }
}

// The thread's 4 voxels from `first` on; `group` is 0 to 3, and the channels are 4 * group.. and 16 + 4 * group...
__device__ void accumulate(const Shared& shared, Shape first, int group, float4 (&sum)[Run][2]) {
#pragma unroll 1
    for (int zy = 0; zy < 9; zy++) {
        const float2* row = shared.voxels + ((first.z + zy / 3) * InY + first.y + zy % 3) * InX + first.x;
#pragma unroll
        for (int x = 0; x < 3; x++) {
            const float4* weights = shared.weights + (zy * 3 + x) * 2 * Cout / 4 + group;
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const float4 on_voxel = weights[4 * half], on_constant = weights[Cout / 4 + 4 * half];
#pragma unroll
                for (int v = 0; v < Run; v++) {
                    multiply_add(sum[v][half], row[x + v].x, on_voxel);
                    multiply_add(sum[v][half], row[x + v].y, on_constant);
                }
            }
        }
    }
}

// What stands behind the sums at inference.
struct NormRelu {
    __device__ float4 operator()(float4 sum, const float* epilogue, int channel) const {
        return relu_affine(sum, epilogue, Cout, channel);
    }
};

// And in training, where the moments are to be taken first.
struct Bias {
    __device__ float4 operator()(float4 sum, const float* epilogue, int channel) const {
        return sum + __ldg(reinterpret_cast<const float4*>(epilogue + channel));
    }
};

template <class Output, class Voxels, class Epilogue>
__device__ void first_conv(const Convolution<float>& conv, Voxels voxels, Epilogue epilogue) {
    __shared__ Shared shared;
    const Shape origin = {static_cast<int>(blockIdx.z) * TileZ, static_cast<int>(blockIdx.y) * TileY,
                          static_cast<int>(blockIdx.x) * TileX};
    load(shared, conv, voxels, origin);
    __syncthreads();
    const int group = threadIdx.x % 4, run = threadIdx.x / 4;
    const Shape first = {run / 16, run / 4 % 4, run % 4 * Run};
    float4 sum[Run][2] = {};
    accumulate(shared, first, group, sum);
#pragma unroll
    for (int v = 0; v < Run; v++) {
        const Shape at = {origin.z + first.z, origin.y + first.y, origin.x + first.x + v};
        if (inside(conv.out, at)) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int channel = 4 * group + 16 * half;
                Output* const output = static_cast<Output*>(conv.output) + voxel(conv.out, at) * Cout + channel;
                store_four(output, epilogue(sum[v][half], conv.epilogue, channel));
            }
        }
    }
}

// On tensor cores: a block's 8x8x32 voxels, 16 of them along x the rows of a matrix. A warp has a plane.
template <class Half>
struct Mma {
    static constexpr int TileZ = Threads / 32, TileY = 8, TileX = 32;
    static constexpr int InZ = TileZ + 2, InY = TileY + 2, InX = TileX + 2;
    // Words of a row and of a plane, such that rows 0 to 3 of the window, and rows 4 to 7, are 8 banks apart.
    static constexpr int Pitch = InX + 6, PlanePitch = InY * Pitch + 8;
    static_assert(Pitch % 32 == 8 && PlanePitch % 32 == 24, "four rows of eight voxels are in different banks");
    static constexpr int Steps = 3;              // of 8 taps, each in two columns of a matrix; and half a step
    static constexpr int Quads = 2 * Steps + 1;  // of taps, one for each of four lanes

    struct Shared {
        unsigned words[InZ * PlanePitch];  // the halves of a voxel
    };

    // The lower half is the one nearest to the value, the upper one what that leaves.
    static __device__ __forceinline__ unsigned split(float value) {
        const unsigned nearest = Word<Half>::of(value, 0.0f);
        return nearest | Word<Half>::of(0.0f, value - Word<Half>::to_floats(nearest).x);
    }

    // The voxels of the tile at `origin`, border included; zero outside the volume. A warp takes one row after the
    // other.
    static __device__ void load(Shared& shared, const Grey& grey, Shape extent, Shape origin) {
        const auto bring = [&](int z, int y, int x) {
            const Shape at = {origin.z - 1 + z, origin.y - 1 + y, origin.x - 1 + x};
            shared.words[z * PlanePitch + y * Pitch + x] = inside(extent, at) ? split(grey[voxel(extent, at)]) : 0;
        };
        static_assert(InY >= Threads / 32, "the next row of a warp is in the same plane or in the next one");
        int z = 0, y = threadIdx.x / 32;
#pragma unroll 2
        for (int row = y; row < InZ * InY; row += Threads / 32) {
            bring(z, y, threadIdx.x % 32);
            y += Threads / 32;
            if (y >= InY) {
                y -= InY;
                z++;
            }
        }
        for (int i = threadIdx.x; i < InZ * InY * (InX - 32); i += Threads) {
            bring(i / 2 / InY, i / 2 % InY, 32 + i % 2);
        }
    }

    // How far the voxel of a pair of columns lies behind the window's first one (`tap` in src/ops/first_conv.rs). The
    // last pair has none, and no weight.
    static __device__ __forceinline__ int offset(int pair) {
        const int row = pair < 24 ? pair % 8 : 8, x = pair < 24 ? pair / 8 : min(pair - 24, 2);
        return row / 3 * PlanePitch + row % 3 * Pitch + x;
    }
};

// What the window of a voxel at `i` lacks along an axis of `n`: 1 where nothing is before it, 2 where nothing is behind
// it.
__device__ __forceinline__ int lacks(int i, int n) { return (i == 0) + 2 * (i == n - 1); }

// Two voxels' sums begin with their shifts, of which the lane has two columns of each matrix.
__device__ __forceinline__ void begin(float (&sum)[4][4], const float* near, const float* far) {
#pragma unroll
    for (int matrix = 0; matrix < 4; matrix++) {
        const float2 a = __ldg(reinterpret_cast<const float2*>(near) + 4 * matrix);
        const float2 b = __ldg(reinterpret_cast<const float2*>(far) + 4 * matrix);
        sum[matrix][0] = a.x, sum[matrix][1] = a.y, sum[matrix][2] = b.x, sum[matrix][3] = b.y;
    }
}

// Adds the products of 16 voxels for all taps; the lane has voxel lane / 4, at `words`, and the eighth behind it.
template <class Half, int Quads>
__device__ __forceinline__ void multiply_all(float (&sum)[4][4], const unsigned* words, const int (&taps)[Quads],
                                             const uint4 (&weights)[Quads / 2 + 1][2]) {
#pragma unroll
    for (int step = 0; step < Quads / 2; step++) {
        const unsigned *even = words + taps[2 * step], *odd = words + taps[2 * step + 1];
        const unsigned voxels[4] = {even[0], even[8], odd[0], odd[8]};
#pragma unroll
        for (int pair = 0; pair < 2; pair++) {
            const uint4 w = weights[step][pair];
            multiply<Half>(sum[2 * pair], voxels, w.x, w.y);
            multiply<Half>(sum[2 * pair + 1], voxels, w.z, w.w);
        }
    }
    const unsigned* last = words + taps[Quads - 1];
    const unsigned voxels[2] = {last[0], last[8]};
#pragma unroll
    for (int pair = 0; pair < 2; pair++) {
        multiply<Half>(sum[2 * pair], voxels, weights[Quads / 2][pair].x);
        multiply<Half>(sum[2 * pair + 1], voxels, weights[Quads / 2][pair].z);
    }
}

// Writes the 8 channels of the first or second voxel.
template <int Voxel, class Half>
__device__ __forceinline__ void store(Half* output, const float (&sum)[4][4]) {
    float values[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        values[i] = sum[i / 2][2 * Voxel + i % 2];
    }
    *reinterpret_cast<uint4*>(output) = to_positive_halves<Half>(values);
}

template <class Half>
__device__ void first_conv(const Convolution<float>& conv, const Grey& grey) {
    using Tile = Mma<Half>;
    __shared__ typename Tile::Shared shared;
    const int lane = threadIdx.x % 32, plane = threadIdx.x / 32, member = lane % 4;
    const Shape tile = {static_cast<int>(blockIdx.z) * Tile::TileZ, static_cast<int>(blockIdx.y) * Tile::TileY,
                        static_cast<int>(blockIdx.x) * Tile::TileX};
    Tile::load(shared, grey, conv.in, tile);
    __syncthreads();
    const Shape first = {tile.z + plane, tile.y, tile.x + lane / 4};
    if (first.z >= conv.out.z) {
        return;
    }
    uint4 weights[Tile::Steps + 1][2];
#pragma unroll
    for (int i = 0; i < 2 * (Tile::Steps + 1); i++) {
        weights[i / 2][i % 2] = __ldg(reinterpret_cast<const uint4*>(conv.weights) + i * 32 + lane);
    }
    int taps[Tile::Quads];
#pragma unroll
    for (int quad = 0; quad < Tile::Quads; quad++) {
        taps[quad] = Tile::offset(4 * quad + member);
    }
    const int rows = min(Tile::TileY, conv.out.y - tile.y);
    const unsigned* words = shared.words + plane * Tile::PlanePitch + lane / 4;
    const float* shifts = conv.epilogue + lacks(first.z, conv.out.z) * 16 * Cout + member * 2;
    Half* output = static_cast<Half*>(conv.output) + voxel(conv.out, first) * Cout + member * 8;
#pragma unroll 1
    for (int y = 0; y < rows; y++) {
        const float* of_row = shifts + lacks(first.y + y, conv.out.y) * 4 * Cout;
#pragma unroll
        for (int x = 0; x < Tile::TileX; x += 16) {
            const int near = first.x + x, far = near + 8;
            float sum[4][4];
            begin(sum, of_row + lacks(near, conv.out.x) * Cout, of_row + lacks(far, conv.out.x) * Cout);
            multiply_all<Half>(sum, words + x, taps, weights);
            if (near < conv.out.x) {
                store<0>(output + x * Cout, sum);
            }
            if (far < conv.out.x) {
                store<1>(output + (x + 8) * Cout, sum);
            }
        }
        words += Tile::Pitch;
        output += static_cast<long long>(conv.out.x) * Cout;
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(Threads) first_conv_f32(FirstConvolution first) {
    first_conv<float>(first.conv, first.grey, NormRelu());
}

extern "C" __global__ void __launch_bounds__(Threads) first_conv_f16(FirstConvolution first) {
    first_conv<__half>(first.conv, first.grey);
}

extern "C" __global__ void __launch_bounds__(Threads) first_conv_training(Convolution<float> conv) {
    first_conv<float>(conv, conv.input, Bias());
}

#if __CUDA_ARCH__ >= 800
extern "C" __global__ void __launch_bounds__(Threads) first_conv_bf16(FirstConvolution first) {
    first_conv<__nv_bfloat16>(first.conv, first.grey);
}

extern "C" __global__ void __launch_bounds__(Threads) first_conv_training_bf16(Convolution<float> conv) {
    first_conv<__nv_bfloat16>(conv, conv.input, Bias());
}
#endif
