// Batch norm in training, with the ReLU behind it and a skip connection; and gradients to biases.
//
// `out = skip + relu(scale[c] * y + shift[c])`, `scale = gamma / sqrt(var + eps)`, `shift = beta - mean * scale`, by the moments of
// the batch. Backward, with `x = (y - mean) / sqrt(var + eps)`, `dz = da` where the ReLU passed: `dbeta = sum dz`,
// `dgamma = sum dz x`, `dy = scale * (dz - dbeta / K - x * dgamma / K)`. All volumes are `[k][channel]`, k being the K
// voxels of the batch. The bias behind a convolution has the gradient `sum dy`. Values are in f32 or bf16, sums in f32 and f64.
#include "common/channel_sums.cuh"
#include "common/values.cuh"

// `Arguments` in src/device/cuda/training/batch_norm.rs. Pointers that a kernel has no use for are null.
template <class Value>
struct BatchNorm {
    Value* y;           // [k][channel]
    const Value* da;    // [k][channel]
    const Value* skip;  // [k][channel], or null
    Value* output;      // [k][channel]
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
constexpr int Kept = 6;  // values that `norm` has of a channel

// What the backward pass knows of one channel.
struct Channel {
    float scale, shift, mean, inverse;

    static __device__ Channel of(const float* norm, int channels, int channel) {
        const float* const first = norm + channel;
        return {__ldg(first), __ldg(first + channels), __ldg(first + 2 * channels), __ldg(first + 3 * channels)};
    }

    __device__ float dz(float y, float da) const { return fmaf(y, scale, shift) > 0.0f ? da : 0.0f; }

    __device__ float normalised(float y) const { return (y - mean) * inverse; }
};

__device__ __forceinline__ void add(float2& sum, float x, float y) {
    sum = make_float2(sum.x + x, sum.y + y);
}

template <int Channels, class Value>
__device__ void moments(const BatchNorm<Value>& batch) {
    constexpr int Width = Channels % 2 == 0 ? InWord<Value> : 1;
    const Value* const y = batch.y;
    sum_chunk<Channels, Width>(batch.voxels, batch.partial, [y](long long place, float2(&sum)[Width]) {
        float values[Width];
        load_word(y + place, values);
#pragma unroll
        for (int i = 0; i < Width; i++) {
            add(sum[i], values[i], values[i] * values[i]);
        }
    });
}

template <int Channels, class Value>
__device__ void backward_sums(const BatchNorm<Value>& batch) {
    constexpr int Width = InWord<Value>, Lanes = Channels / Width;
    const int first = threadIdx.x % Lanes * Width;
    const Channel near = Channel::of(batch.norm, Channels, first), far = Channel::of(batch.norm, Channels, first + Width - 1);
    sum_chunk<Channels, Width>(batch.voxels, batch.partial, [&](long long place, float2(&sum)[Width]) {
        float y[Width], da[Width];
        load_word(batch.y + place, y);
        load_word(batch.da + place, da);
#pragma unroll
        for (int i = 0; i < Width; i++) {
            const Channel& norm = i == 0 ? near : far;
            const float dz = norm.dz(y[i], da[i]);
            add(sum[i], dz, dz * norm.normalised(y[i]));
        }
    });
}

// A thread's 16 bytes of a batch: calls `visit(place)` where there are any.
template <class Value, class Visit>
__device__ __forceinline__ void each_unit(const BatchNorm<Value>& batch, Visit visit) {
    const long long place = InUnit<Value> * (static_cast<long long>(blockIdx.x) * Threads + threadIdx.x);
    if (place < batch.voxels * batch.channels) {
        visit(place, static_cast<int>(place & (batch.channels - 1)));
    }
}

template <class Value>
__device__ __forceinline__ void add_skip(const Value* skip, long long place, float (&values)[InUnit<Value>]) {
    if (skip) {
        float skipped[InUnit<Value>];
        load_unit(skip + place, skipped);
#pragma unroll
        for (int i = 0; i < InUnit<Value>; i++) {
            values[i] += skipped[i];
        }
    }
}

template <class Value>
__device__ void norm_relu(const BatchNorm<Value>& batch) {
    each_unit(batch, [&](long long place, int channel) {
        float values[InUnit<Value>], scale[InUnit<Value>], shift[InUnit<Value>];
        load_unit(batch.y + place, values);
        load_parameters(batch.norm + channel, scale);
        load_parameters(batch.norm + batch.channels + channel, shift);
#pragma unroll
        for (int i = 0; i < InUnit<Value>; i++) {
            values[i] = relu_affine(values[i], scale[i], shift[i]);
        }
        add_skip(batch.skip, place, values);
        store_unit(batch.output + place, values);
    });
}

template <class Value>
__device__ void backward(const BatchNorm<Value>& batch) {
    each_unit(batch, [&](long long place, int channel) {
        float y[InUnit<Value>], da[InUnit<Value>], norm[Kept][InUnit<Value>];
        load_unit(batch.y + place, y);
        load_unit(batch.da + place, da);
#pragma unroll
        for (int i = 0; i < Kept; i++) {
            load_parameters(batch.norm + i * batch.channels + channel, norm[i]);
        }
#pragma unroll
        for (int i = 0; i < InUnit<Value>; i++) {
            const Channel channel_norm = {norm[0][i], norm[1][i], norm[2][i], norm[3][i]};
            const float dz = channel_norm.dz(y[i], da[i]), mean_dz = norm[4][i], mean_dzx = norm[5][i];
            y[i] = channel_norm.scale * (dz - mean_dz - channel_norm.normalised(y[i]) * mean_dzx);
        }
        add_skip(batch.skip, place, y);
        store_unit(batch.y + place, y);
    });
}

__device__ float blend(float old, double now) {
    return static_cast<float>((1.0 - Momentum) * static_cast<double>(old) + Momentum * now);
}

}  // namespace

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_moments_3(BatchNorm<float> batch) { moments<3>(batch); }

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_moments_32(BatchNorm<float> batch) { moments<32>(batch); }

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_moments_64(BatchNorm<float> batch) { moments<64>(batch); }

// From the sums of y and y^2 to scale, shift, mean and inverse deviation; moves the running statistics. What y is makes no
// difference to this and the other kernels that finish.
extern "C" __global__ void __launch_bounds__(SumThreads) batch_norm_finish(BatchNorm<float> batch) {
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
extern "C" __global__ void __launch_bounds__(Threads) batch_norm_relu(BatchNorm<float> batch) { norm_relu(batch); }

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_backward_sums_32(BatchNorm<float> batch) {
    backward_sums<32>(batch);
}

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_backward_sums_64(BatchNorm<float> batch) {
    backward_sums<64>(batch);
}

// From the sums of dz and dz x to their means and the gradients of gamma and beta.
extern "C" __global__ void __launch_bounds__(SumThreads) batch_norm_backward_finish(BatchNorm<float> batch) {
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
extern "C" __global__ void __launch_bounds__(Threads) batch_norm_backward(BatchNorm<float> batch) { backward(batch); }

// The gradient to a bias from the sums of dy, which the kernels of the moments formed.
extern "C" __global__ void __launch_bounds__(SumThreads) bias_finish(BatchNorm<float> batch) {
    const ChannelSums found(batch.partial, batch.chunks, batch.channels);
    if (found.is_here) {
        batch.d_beta[found.channel] = static_cast<float>(found.sums.x);
    }
}

#if __CUDA_ARCH__ >= 800
using Bf16 = BatchNorm<__nv_bfloat16>;

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_moments_32_bf16(Bf16 batch) { moments<32>(batch); }

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_moments_64_bf16(Bf16 batch) { moments<64>(batch); }

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_relu_bf16(Bf16 batch) { norm_relu(batch); }

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_backward_sums_32_bf16(Bf16 batch) {
    backward_sums<32>(batch);
}

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_backward_sums_64_bf16(Bf16 batch) {
    backward_sums<64>(batch);
}

extern "C" __global__ void __launch_bounds__(Threads) batch_norm_backward_bf16(Bf16 batch) { backward(batch); }
#endif
