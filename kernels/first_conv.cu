// The network's first two convolutions folded into one, with the batch norm and the ReLU behind them; in training with a
// bias alone.
//
// `c1[o][c] = relu(scale[c] * sum_k (x[o + k - 1] * w[k][0][c] + inside[o + k - 1] * w[k][1][c]) + shift[c])`: the second channel is 1
// within the volume and 0 in its padding and carries conv1's bias. Voxels are read as they are stored and normalised here. A block of threads computes 4x4x16 voxels; a
// thread 4 voxels along x for 8 of the 32 channels, in two groups of 4 so that neighbouring threads write whole sectors.
#include <cstdint>

#include "common/affine.cuh"
#include "common/grid.cuh"
#include "common/half8.cuh"

namespace {

constexpr int Cout = 32, Threads = 256, TileZ = 4, TileY = 4, TileX = 16, Run = 4;
constexpr int InZ = TileZ + 2, InY = TileY + 2, InX = TileX + 2;

// Voxels as they are stored, and how they become the network's input.
struct Grey {
    const void* values;   // [z][y][x]
    long long size;       // bytes of a voxel: 1 is u8, 2 is u16, 4 is f32
    float offset, scale;  // x becomes (x - offset) * scale

    __device__ float operator[](long long i) const {
        return (stored(i) - offset) * scale;
    }

    __device__ float stored(long long i) const {
        switch (size) {
            case 1:
                return static_cast<const uint8_t*>(values)[i];
            case 2:
                return static_cast<const uint16_t*>(values)[i];
            default:
                return static_cast<const float*>(values)[i];
        }
    }
};

// `FirstConvolution` in src/ops/first_conv.rs; the input of `conv` is not used.
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

__device__ void store(float* output, float4 value) { *reinterpret_cast<float4*>(output) = value; }

template <class Half>
__device__ void store(Half* output, float4 value) {
    *reinterpret_cast<uint2*>(output) = make_uint2(Word<Half>::of(value.x, value.y), Word<Half>::of(value.z, value.w));
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

template <class Value, class Voxels, class Epilogue>
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
                Value* output = static_cast<Value*>(conv.output) + voxel(conv.out, at) * Cout + channel;
                store(output, epilogue(sum[v][half], conv.epilogue, channel));
            }
        }
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(Threads) first_conv_f32(FirstConvolution first) {
    first_conv<float>(first.conv, first.grey, NormRelu());
}

extern "C" __global__ void __launch_bounds__(Threads) first_conv_f16(FirstConvolution first) {
    first_conv<__half>(first.conv, first.grey, NormRelu());
}

#if __CUDA_ARCH__ >= 800
extern "C" __global__ void __launch_bounds__(Threads) first_conv_bf16(FirstConvolution first) {
    first_conv<__nv_bfloat16>(first.conv, first.grey, NormRelu());
}
#endif

extern "C" __global__ void __launch_bounds__(Threads) first_conv_training(Convolution<float> conv) {
    first_conv<float>(conv, conv.input, Bias());
}
