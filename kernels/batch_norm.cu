// Batch norm in training, with the ReLU behind it and a skip connection; and gradients to biases.
//
// `out = skip + relu(scale[c] * y + shift[c])`, `scale = gamma / sqrt(var + eps)`, `shift = beta - mean * scale`, by the moments of
// the batch. Backward, with `x = (y - mean) / sqrt(var + eps)`, `dz = da` where the ReLU passed: `dbeta = sum dz`,
// `dgamma = sum dz x`, `dy = scale * (dz - dbeta / K - x * dgamma / K)`. All volumes are `[k][channel]`, k being the K
// voxels of the batch. The bias behind a convolution has the gradient `sum dy`.
#include "common/affine.cuh"
#include "common/channel_sums.cuh"

// `Arguments` in src/device/cuda/training/batch_norm.rs. Pointers that a kernel has no use for are null.
struct BatchNorm {
    float* y;           // [k][channel]
    const float* da;    // [k][channel]
    const float* skip;  // [k][channel], or null
    float* output;      // [k][channel]
    double* partial;    // [chunk][2][channel]
    float* norm;        // scale, shift, mean, 1 / sqrt(var + eps), mean of dz, mean of dz x: [channel] each
    const float* gamma;
    const float* beta;
    float* running_mean;
    float* running_variance;
    float* d_gamma;
    float* d_beta;  // of a batch norm, or of a bias
    long long voxels;
    int channels, chunks;
};

namespace {

constexpr double Epsilon = 1e-5, Momentum = 0.1;
constexpr int Threads = 256;

// What the backward pass knows of one channel.
struct Channel {
    float scale, shift, mean, inverse;

    __device__ Channel(const float* norm, int channels, int channel)
        : scale(__ldg(norm + channel)),
          shift(__ldg(norm + channels + channel)),
          mean(__ldg(norm + 2 * channels + channel)),
          inverse(__ldg(norm + 3 * channels + channel)) {}

    __device__ float dz(float y, float da) const { return fmaf(y, scale, shift) > 0.0f ? da : 0.0f; }

    __device__ float normalised(float y) const { return (y - mean) * inverse; }
};

template <int Channels>
__device__ void moments(const BatchNorm& batch) {
    const float* y = batch.y;
    sum_chunk<Channels>(batch.voxels, batch.partial, [y](long long place, int) {
        const float value = y[place];
        return make_float2(value, value * value);
    });
}

template <int Channels>
__device__ void backward_sums(const BatchNorm& batch) {
    const Channel norm(batch.norm, Channels, threadIdx.x % Channels);
    const float *y = batch.y, *da = batch.da;
    sum_chunk<Channels>(batch.voxels, batch.partial, [&](long long place, int) {
        const float value = y[place], dz = norm.dz(value, da[place]);
        return make_float2(dz, dz * norm.normalised(value));
    });
}

__device__ float blend(float old, double now) {
    return static_cast<float>((1.0 - Momentum) * static_cast<double>(old) + Momentum * now);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_moments_3(BatchNorm batch) { moments<3>(batch); }

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_moments_32(BatchNorm batch) { moments<32>(batch); }

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_moments_64(BatchNorm batch) { moments<64>(batch); }

// From the sums of y and y^2 to scale, shift, mean and inverse deviation; moves the running statistics.
extern "C" __global__ void __launch_bounds__(SumThreads) batch_norm_finish(BatchNorm batch) {
    const ChannelSums found(batch.partial, batch.chunks, batch.channels);
    const int c = found.channel;
    if (found.is_here) {
        const double count = static_cast<double>(batch.voxels);
        const double mean = found.sums.x / count, variance = fmax(found.sums.y / count - mean * mean, 0.0);
        const double inverse = 1.0 / sqrt(variance + Epsilon), scale = batch.gamma[c] * inverse;
        batch.norm[c] = static_cast<float>(scale);
        batch.norm[batch.channels + c] = static_cast<float>(batch.beta[c] - mean * scale);
        batch.norm[2 * batch.channels + c] = static_cast<float>(mean);
        batch.norm[3 * batch.channels + c] = static_cast<float>(inverse);
        const double unbias = batch.voxels > 1 ? count / (count - 1.0) : 1.0;
        batch.running_mean[c] = blend(batch.running_mean[c], mean);
        batch.running_variance[c] = blend(batch.running_variance[c], variance * unbias);
    }
}

// `output = skip + relu(scale * y + shift)`
extern "C" __global__ void __launch_bounds__(Threads) batch_norm_relu(BatchNorm batch) {
    const long long place = 4 * (static_cast<long long>(blockIdx.x) * Threads + threadIdx.x);
    if (place < batch.voxels * batch.channels) {
        const int channel = static_cast<int>(place & (batch.channels - 1));
        const float4 y = *reinterpret_cast<const float4*>(batch.y + place);
        float4 value = relu_affine(y, batch.norm, batch.channels, channel);
        if (batch.skip) {
            value = value + *reinterpret_cast<const float4*>(batch.skip + place);
        }
        *reinterpret_cast<float4*>(batch.output + place) = value;
    }
}

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_backward_sums_32(BatchNorm batch) {
    backward_sums<32>(batch);
}

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_backward_sums_64(BatchNorm batch) {
    backward_sums<64>(batch);
}

// From the sums of dz and dz x to their means and the gradients of gamma and beta.
extern "C" __global__ void __launch_bounds__(SumThreads) batch_norm_backward_finish(BatchNorm batch) {
    const ChannelSums found(batch.partial, batch.chunks, batch.channels);
    const int c = found.channel;
    if (found.is_here) {
        const double count = static_cast<double>(batch.voxels);
        batch.d_beta[c] = static_cast<float>(found.sums.x);
        batch.d_gamma[c] = static_cast<float>(found.sums.y);
        batch.norm[4 * batch.channels + c] = static_cast<float>(found.sums.x / count);
        batch.norm[5 * batch.channels + c] = static_cast<float>(found.sums.y / count);
    }
}

// y becomes dy, plus `skip` where a skip connection joins.
extern "C" __global__ void __launch_bounds__(Threads) batch_norm_backward(BatchNorm batch) {
    const long long place = static_cast<long long>(blockIdx.x) * Threads + threadIdx.x;
    if (place < batch.voxels * batch.channels) {
        const int c = static_cast<int>(place & (batch.channels - 1));
        const Channel norm(batch.norm, batch.channels, c);
        const float mean_dz = __ldg(batch.norm + 4 * batch.channels + c);
        const float mean_dzx = __ldg(batch.norm + 5 * batch.channels + c);
        const float y = batch.y[place];
        const float dz = norm.dz(y, batch.da[place]);
        const float dy = norm.scale * (dz - mean_dz - norm.normalised(y) * mean_dzx);
        batch.y[place] = batch.skip ? dy + batch.skip[place] : dy;
    }
}

// The gradient to a bias from the sums of dy, which the kernels of the moments formed.
extern "C" __global__ void __launch_bounds__(SumThreads) bias_finish(BatchNorm batch) {
    const ChannelSums found(batch.partial, batch.chunks, batch.channels);
    if (found.is_here) {
        batch.d_beta[found.channel] = static_cast<float>(found.sums.x);
    }
}
