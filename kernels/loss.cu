// Softmax, the loss of 3DCellSeg (src/ops/loss.rs) and the gradient of both.
//
// A term over a set of classes is `1 - (2 I + 1) / (P + T + 1)` with `I = sum q g w`, `P = sum q^2`, `T = sum g^2`: background and
// membrane with `q = p`, foreground with `q = p` or `p / (p + alpha)`; and a share of the cross entropy. Each block of threads
// adds up one chunk of voxels in f64, one more block adds the chunks, always in the same order. Then, voxel by voxel, the
// gradient to the probabilities and through the softmax: `dx[c] = p[c] (dp[c] - sum p dp)`. Voxels of class `NotCounted` are in
// no sum, and their gradient is 0.
#include "common/classes.cuh"

// `Arguments` in src/device/cuda/training/loss.rs.
struct Loss {
    float* values;               // [k][3]: logits, then probabilities, then the gradient to the logits
    const unsigned char* truth;  // class of each voxel, [k]
    const float* weight;         // of each voxel in its own class, [k]
    double* partial;             // [chunk][7]
    double* result;              // the loss, dI and dP of the two terms, factor of the cross entropy: [6]
    long long voxels;
    double cross_entropy;
    int is_ratio, is_weighted, chunks, unused;
};

namespace {

constexpr int Threads = 256;
constexpr int Chunk = 1024;  // voxels of a block: `CHUNK` in src/device/cuda/training/loss.rs
constexpr int Sums = 7;      // I, P and T of both terms, and -ln p of the true class
constexpr double Alpha = 0.1, Smooth = 1.0;
constexpr float Least = 1e-7f;
constexpr int NotCounted = 255;  // `NOT_COUNTED` in src/ops/loss.rs

// Adds up the threads' values; thread 0 has the sums.
__device__ void add_threads(double (&sums)[Sums]) {
    __shared__ double shared[Sums][Threads];
    for (int i = 0; i < Sums; i++) {
        shared[i][threadIdx.x] = sums[i];
    }
    for (int half = Threads / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            for (int i = 0; i < Sums; i++) {
                shared[i][threadIdx.x] += shared[i][threadIdx.x + half];
            }
        }
    }
    if (threadIdx.x == 0) {
        for (int i = 0; i < Sums; i++) {
            sums[i] = shared[i][0];
        }
    }
}

// `q` and `dq/dp` of a class.
__device__ double2 score(const Loss& loss, int c, double p) {
    if (c == 2 && loss.is_ratio) {
        return make_double2(p / (p + Alpha), Alpha / ((p + Alpha) * (p + Alpha)));
    }
    return make_double2(p, 1.0);
}

// The values of the block's voxels from `first` on, in shared memory: neighbouring threads take neighbouring numbers of memory.
struct Lines {
    float values[Threads * Classes];

    // A thread's own voxel.
    __device__ float* own() {
        return values + threadIdx.x * Classes;
    }

    __device__ void load(const Loss& loss, long long first, long long end) {
        __syncthreads();
        for (int i = threadIdx.x; i < count(first, end); i += Threads) {
            values[i] = loss.values[first * Classes + i];
        }
        __syncthreads();
    }

    __device__ void store(const Loss& loss, long long first, long long end) {
        __syncthreads();
        for (int i = threadIdx.x; i < count(first, end); i += Threads) {
            loss.values[first * Classes + i] = values[i];
        }
    }

    __device__ static int count(long long first, long long end) {
        return static_cast<int>(min(end - first, static_cast<long long>(Threads))) * Classes;
    }
};

// What a voxel weighs in the intersection.
__device__ double own_weight(const Loss& loss, long long voxel) {
    return loss.is_weighted ? static_cast<double>(loss.weight[voxel]) : 1.0;
}

}  // namespace

// Logits to probabilities, and the sums of a chunk.
extern "C" __global__ void __launch_bounds__(Threads, 2) loss_sums(Loss loss) {
    __shared__ Lines lines;
    double sums[Sums] = {};
    const long long end = min(loss.voxels, (blockIdx.x + 1ll) * Chunk);
    for (long long first = blockIdx.x * static_cast<long long>(Chunk); first < end; first += Threads) {
        lines.load(loss, first, end);
        const long long voxel = first + threadIdx.x;
        if (voxel < end) {
            float p[Classes];
            for (int c = 0; c < Classes; c++) {
                p[c] = lines.own()[c];
            }
            softmax(p);
            const int own = loss.truth[voxel];
            for (int c = 0; c < Classes; c++) {
                lines.own()[c] = p[c];
                const double q = own == NotCounted ? 0.0 : score(loss, c, p[c]).x;
                const bool is_own = c == own;
                sums[c / 2 * 3] += is_own ? q * own_weight(loss, voxel) : 0.0;
                sums[c / 2 * 3 + 1] += q * q;
                sums[c / 2 * 3 + 2] += is_own ? 1.0 : 0.0;
                sums[6] -= is_own ? static_cast<double>(logf(fmaxf(p[c], Least))) : 0.0;
            }
        }
        lines.store(loss, first, end);
    }
    add_threads(sums);
    if (threadIdx.x == 0) {
        for (int i = 0; i < Sums; i++) {
            loss.partial[blockIdx.x * static_cast<long long>(Sums) + i] = sums[i];
        }
    }
}

// From the sums of all chunks to the loss and what its gradient needs.
extern "C" __global__ void __launch_bounds__(Threads) loss_finish(Loss loss) {
    // A thread adds one of the sums, so that neighbours read neighbours.
    constexpr int Adding = Threads / Sums * Sums;
    double sum = 0.0;
    for (long long i = threadIdx.x; i < loss.chunks * Sums && threadIdx.x < Adding; i += Adding) {
        sum += loss.partial[i];
    }
    double sums[Sums];
    for (int i = 0; i < Sums; i++) {
        sums[i] = threadIdx.x % Sums == i ? sum : 0.0;
    }
    add_threads(sums);
    if (threadIdx.x == 0) {
        // Each voxel that counts is once in a T.
        const double factor = loss.cross_entropy / fmax(sums[2] + sums[5], 1.0);
        double value = factor * sums[6];
        for (int term = 0; term < 2; term++) {
            const double numerator = 2.0 * sums[3 * term] + Smooth;
            const double denominator = sums[3 * term + 1] + sums[3 * term + 2] + Smooth;
            value += 1.0 - numerator / denominator;
            loss.result[1 + 2 * term] = -2.0 / denominator;
            loss.result[2 + 2 * term] = numerator / (denominator * denominator);
        }
        loss.result[0] = value;
        loss.result[5] = factor;
    }
}

// Probabilities to the gradient to the logits.
extern "C" __global__ void __launch_bounds__(Threads) loss_gradient(Loss loss) {
    __shared__ Lines lines;
    const long long first = static_cast<long long>(blockIdx.x) * Threads, voxel = first + threadIdx.x;
    lines.load(loss, first, loss.voxels);
    if (voxel < loss.voxels) {
        float p[Classes], dp[Classes], mean = 0.0f;
        const int own = loss.truth[voxel];
        for (int c = 0; c < Classes; c++) {
            p[c] = lines.own()[c];
            const double2 q = score(loss, c, p[c]);
            const double by_intersection = loss.result[1 + c / 2 * 2], by_predicted = loss.result[2 + c / 2 * 2];
            const double by_q = (c == own ? by_intersection * own_weight(loss, voxel) : 0.0) + by_predicted * 2.0 * q.x;
            dp[c] = own == NotCounted ? 0.0f : static_cast<float>(by_q * q.y);
            if (c == own) {
                dp[c] -= static_cast<float>(loss.result[5] / static_cast<double>(fmaxf(p[c], Least)));
            }
            mean += p[c] * dp[c];
        }
        for (int c = 0; c < Classes; c++) {
            lines.own()[c] = p[c] * (dp[c] - mean);
        }
    }
    lines.store(loss, first, loss.voxels);
}
