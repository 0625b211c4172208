// Weights in the order in which the kernels read them, and the first two convolutions folded into one and unfolded again.

// `Arguments` in src/device/cuda/training/packing.rs.
struct Packing {
    const float* values;     // all parameters
    const uint4* places;     // for each packed weight its place among them, or None
    float4* packed;          // four weights each, [quads]
    const float* weight1;    // [16]
    const float* bias1;      // [16]
    const float* weight2;    // [32][16][27]
    float* folded;           // [27][voxel, constant][32]: weights, or the gradient to them
    float* d_weight1;        // [16]
    float* d_bias1;          // [16]
    float* d_weight2;        // [32][16][27]
    long long quads;
};

namespace {

constexpr unsigned int None = 0xffffffffu;
constexpr int Middle = 16, Cout = 32, Positions = 27, Threads = 256;

__device__ float value_at(const float* values, unsigned int place) { return place == None ? 0.0f : values[place]; }

}  // namespace

extern "C" __global__ void __launch_bounds__(Threads) packing_gather(Packing packing) {
    const long long i = static_cast<long long>(blockIdx.x) * Threads + threadIdx.x;
    if (i < packing.quads) {
        const uint4 places = packing.places[i];
        packing.packed[i] = make_float4(value_at(packing.values, places.x), value_at(packing.values, places.y),
                                        value_at(packing.values, places.z), value_at(packing.values, places.w));
    }
}

// `folded[k][i][o] = sum_m w2[o][m][k] * first[m]`, first being w1 for the voxel and b1 for the constant.
extern "C" __global__ void __launch_bounds__(Threads) packing_fold(Packing packing) {
    const int e = blockIdx.x * Threads + threadIdx.x;
    if (e < Positions * 2 * Cout) {
        const int o = e % Cout, i = e / Cout % 2, k = e / (2 * Cout);
        const float* first = i == 0 ? packing.weight1 : packing.bias1;
        double sum = 0.0;
        for (int m = 0; m < Middle; m++) {
            sum += static_cast<double>(packing.weight2[(o * Middle + m) * Positions + k]) * static_cast<double>(first[m]);
        }
        packing.folded[e] = static_cast<float>(sum);
    }
}

// The chain rule; a block of threads has one channel m between the two convolutions.
extern "C" __global__ void __launch_bounds__(Threads) packing_unfold(Packing packing) {
    __shared__ double2 sums[Threads];
    const int m = blockIdx.x;
    const float weight1 = packing.weight1[m], bias1 = packing.bias1[m];
    double2 sum = make_double2(0.0, 0.0);
    for (int e = threadIdx.x; e < Cout * Positions; e += Threads) {
        const int o = e / Positions, k = e % Positions, at = (o * Middle + m) * Positions + k;
        const float by_voxel = packing.folded[2 * k * Cout + o], by_constant = packing.folded[(2 * k + 1) * Cout + o];
        const double second = packing.weight2[at];
        sum = make_double2(sum.x + second * by_voxel, sum.y + second * by_constant);
        packing.d_weight2[at] = by_voxel * weight1 + by_constant * bias1;
    }
    sums[threadIdx.x] = sum;
    for (int half = Threads / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            const double2 other = sums[threadIdx.x + half];
            sums[threadIdx.x] = make_double2(sums[threadIdx.x].x + other.x, sums[threadIdx.x].y + other.y);
        }
    }
    if (threadIdx.x == 0) {
        packing.d_weight1[m] = static_cast<float>(sums[0].x);
        packing.d_bias1[m] = static_cast<float>(sums[0].y);
    }
}
