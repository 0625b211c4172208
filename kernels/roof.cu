// What a GPU can do at most: copying, f32 multiply-adds in registers, and matrix products with f16 factors. The results are
// written so that none of it can be left out.
#include "common/mma.cuh"

namespace {

// Independent chains of a thread: enough to hide the latency of a multiply-add.
constexpr int ScalarChains = 16, TensorChains = 8;

struct Copy {
    const uint4* from;
    uint4* to;
    long long units;  // of 16 bytes
};

struct Chains {
    float* result;  // one value a thread
    int rounds;
};

}  // namespace

extern "C" __global__ void __launch_bounds__(256) roof_copy(Copy copy) {
    const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at < copy.units) {
        copy.to[at] = copy.from[at];
    }
}

extern "C" __global__ void __launch_bounds__(256) roof_scalar(Chains chains) {
    float sum[ScalarChains];
#pragma unroll
    for (int i = 0; i < ScalarChains; i++) {
        sum[i] = static_cast<float>(threadIdx.x + i);
    }
    for (int round = 0; round < chains.rounds; round++) {
#pragma unroll
        for (int i = 0; i < ScalarChains; i++) {
            sum[i] = fmaf(sum[i], 0.999f, 0.001f);
        }
    }
    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < ScalarChains; i++) {
        total += sum[i];
    }
    chains.result[blockIdx.x * blockDim.x + threadIdx.x] = total;
}

extern "C" __global__ void __launch_bounds__(256) roof_tensor(Chains chains) {
    float sum[TensorChains][4] = {};
    // Two halves of 1 in each register.
    constexpr unsigned Ones = 0x3C003C00u;
    const unsigned a[4] = {Ones, Ones, Ones, Ones};
    for (int round = 0; round < chains.rounds; round++) {
#pragma unroll
        for (int i = 0; i < TensorChains; i++) {
            multiply<__half>(sum[i], a, Ones, Ones);
        }
    }
    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < TensorChains; i++) {
        total += sum[i][0] + sum[i][1] + sum[i][2] + sum[i][3];
    }
    chains.result[blockIdx.x * blockDim.x + threadIdx.x] = total;
}
