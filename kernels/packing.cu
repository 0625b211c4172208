// Weights in the order in which the kernels read them, and the first two convolutions folded into one and unfolded again.
#include "common/half8.cuh"
#include "common/weight_order.cuh"

// `Arguments` in src/device/cuda/training/packing.rs.
struct Packing {
    const float* values;   // all parameters
    WeightOrders orders;
    float* packed;         // all orders, one behind the other
    const float* weight1;  // [16]
    const float* bias1;    // [16]
    const float* weight2;  // [32][16][27]
    float* folded;         // [27][voxel, constant][32]: weights, or the gradient to them
    float* d_weight1;      // [16]
    float* d_bias1;        // [16]
    float* d_weight2;      // [32][16][27]
};

// Packed weights of 16 input channels to all output channels at one step of an order, and where they are for tensor cores: `Slab`
// in src/device/cuda/training/orders.rs.
struct Slab {
    unsigned int from, to, channels;
};

// `Rounding` in src/device/cuda/training/packing.rs.
struct Rounding {
    const float* packed;
    uint4* rounded;  // for the lanes of mma
    const Slab* slabs;
};

namespace {

constexpr int SlabRows = 16, SlabColumns = 64;  // of a slab at most
constexpr int SlabThreads = 128;                 // `SLAB_THREADS` in src/device/cuda/training/packing.rs
constexpr int Middle = 16, Cout = 32, Positions = 27, Threads = 256;
constexpr int Of = Middle * Positions;  // weights of conv2 to one channel, and threads of a block that has a place for each

}  // namespace

extern "C" __global__ void __launch_bounds__(Threads) packing_gather(Packing packing) {
    __shared__ float values[WeightTurn::Side * WeightTurn::MostPitch];
    const WeightTurn turn(values, packing.orders);
    turn.each_parameter([&](unsigned int place, float& value) { value = packing.values[place]; });
    __syncthreads();
    float* const packed = packing.packed + turn.order.packed;
    turn.each_packed([=](unsigned int place, float value) { packed[place] = value; },
                     [=](unsigned int place) { packed[place] = 0.0f; });
}

// `folded[k][i][o] = sum_m w2[o][m][k] * first[m]`, first being w1 for the voxel and b1 for the constant. A block of threads has 8
// output channels, a whole sector of the result.
extern "C" __global__ void __launch_bounds__(Of) packing_fold(Packing packing) {
    constexpr int Channels = 8, Pitch = Of + 4;  // 8 channels in different banks
    __shared__ float first[2][Middle], second[Channels * Pitch];
    const int first_channel = blockIdx.x * Channels;
    if (threadIdx.x < 2 * Middle) {
        const float* const from = threadIdx.x < Middle ? packing.weight1 : packing.bias1;
        first[threadIdx.x / Middle][threadIdx.x % Middle] = from[threadIdx.x % Middle];
    }
    for (int i = 0; i < Channels; i++) {
        second[i * Pitch + threadIdx.x] = packing.weight2[(first_channel + i) * Of + threadIdx.x];
    }
    __syncthreads();
    const int channel = threadIdx.x % Channels, position = threadIdx.x / Channels / 2, is_constant = threadIdx.x / Channels % 2;
    double sum = 0.0;
    for (int m = 0; m < Middle; m++) {
        sum += static_cast<double>(second[channel * Pitch + m * Positions + position]) * static_cast<double>(first[is_constant][m]);
    }
    packing.folded[threadIdx.x / Channels * Cout + first_channel + channel] = static_cast<float>(sum);
}

// The chain rule. A thread has a channel m between the two convolutions and a position.
extern "C" __global__ void __launch_bounds__(Of) packing_unfold(Packing packing) {
    constexpr int Pitch = Cout + 1;  // positions in different banks
    __shared__ float by_voxel[Positions * Pitch], by_constant[Positions * Pitch];
    __shared__ double2 sums[Of];
    for (int i = threadIdx.x; i < Positions * 2 * Cout; i += Of) {
        const int channel = i % Cout, position = i / Cout / 2;
        (i / Cout % 2 == 0 ? by_voxel : by_constant)[position * Pitch + channel] = packing.folded[i];
    }
    __syncthreads();
    const int m = threadIdx.x / Positions, position = threadIdx.x % Positions;
    const float weight1 = packing.weight1[m], bias1 = packing.bias1[m];
    double2 sum = make_double2(0.0, 0.0);
#pragma unroll 8
    for (int channel = 0; channel < Cout; channel++) {
        const int place = channel * Of + threadIdx.x;
        const float voxel = by_voxel[position * Pitch + channel], constant = by_constant[position * Pitch + channel];
        const double second = packing.weight2[place];
        sum = make_double2(sum.x + second * voxel, sum.y + second * constant);
        packing.d_weight2[place] = voxel * weight1 + constant * bias1;
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (position == 0) {
        for (int i = 1; i < Positions; i++) {
            const double2 other = sums[threadIdx.x + i];
            sum = make_double2(sum.x + other.x, sum.y + other.y);
        }
        packing.d_weight1[m] = static_cast<float>(sum.x);
        packing.d_bias1[m] = static_cast<float>(sum.y);
    }
}

#if __CUDA_ARCH__ >= 800
// Rounds weights and gives each lane of a tensor core its own: 8 of two matrices, whose rows and columns are those of
// src/device/cuda/packing.rs. A block of threads has one slab.
extern "C" __global__ void __launch_bounds__(SlabThreads) packing_round_bf16(Rounding rounding) {
    // Rows begin one bank apart, so that the 4 rows and 8 columns of a warp are in different ones.
    constexpr int Pitch = SlabColumns + 1;
    __shared__ float values[SlabRows * Pitch];
    const Slab slab = rounding.slabs[blockIdx.x];
    const unsigned int count = SlabRows * slab.channels;
    for (unsigned int i = threadIdx.x; i < count; i += SlabThreads) {
        values[i / slab.channels * Pitch + i % slab.channels] = rounding.packed[slab.from + i];
    }
    __syncthreads();
    if (threadIdx.x < count / 8) {
        const int lane = threadIdx.x % 32, row = lane % 4 * 2, column = lane / 4, matrix = threadIdx.x / 32 * 2;
        const float* const first = values + row * Pitch + matrix / 4 * 32 + matrix % 4 * 2 + column / 2 * 8 + column % 2;
        float found[8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            found[i] = first[(i % 2 + i / 2 % 2 * 8) * Pitch + i / 4 * 2];
        }
        rounding.rounded[slab.to / 8 + threadIdx.x] = to_halves<__nv_bfloat16>(found);
    }
}
#endif
