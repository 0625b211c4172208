// Batch norm in training, with the ReLU behind it and a skip connection; and gradients to biases.
//
// `out = skip + relu(scale[c] * y + shift[c])`, `scale = gamma / sqrt(var + eps)`, `shift = beta - mean * scale`, by the moments of
// the batch. Backward, with `x = (y - mean) / sqrt(var + eps)`, `dz = da` where the ReLU passed: `dbeta = sum dz`,
// `dgamma = sum dz x`, `dy = scale * (dz - dbeta / K - x * dgamma / K)`. All volumes are `[k][channel]`, k being the K
// voxels of the batch. The bias behind a convolution has the gradient `sum dy`. Values are in f32 or bf16, sums in f32 and f64.
#include "common/affine.cuh"
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

// What the backward pass knows of neighbouring channels.
template <int Count>
struct Norm {
    float scale[Count], shift[Count], mean[Count], inverse[Count];

    __device__ __forceinline__ Norm(const float* norm, int channels, int channel) {
        load_parameters(norm + channel, scale);
        load_parameters(norm + channels + channel, shift);
        load_parameters(norm + 2 * channels + channel, mean);
        load_parameters(norm + 3 * channels + channel, inverse);
    }

    __device__ __forceinline__ float dz(int i, float y, float da) const {
        return fmaf(y, scale[i], shift[i]) > 0.0f ? da : 0.0f;
    }

    __device__ __forceinline__ float normalised(int i, float y) const { return (y - mean[i]) * inverse[i]; }
};

__device__ __forceinline__ void add(float2& sum, float x, float y) {
    sum = make_float2(sum.x + x, sum.y + y);
}

template <int Channels, class Value>
__device__ void moments(const BatchNorm<Value>& batch) {
    constexpr int Width = InWord<Value>;
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
    const Norm<Width> norm(batch.norm, Channels, threadIdx.x % Lanes * Width);
    sum_chunk<Channels, Width>(batch.voxels, batch.partial, [&](long long place, float2(&sum)[Width]) {
        float y[Width], da[Width];
        load_word(batch.y + place, y);
        load_word(batch.da + place, da);
#pragma unroll
        for (int i = 0; i < Width; i++) {
            const float dz = norm.dz(i, y[i], da[i]);
            add(sum[i], dz, dz * norm.normalised(i, y[i]));
        }
    });
}

// What a thread has of a batch: 16 bytes at each of some places, all of the same channels.
template <class Value>
struct Units {
    static constexpr int Count = 4, Width = InUnit<Value>;  // `UNITS` in src/device/cuda/training/batch_norm.rs
    static_assert(Threads * Width % 64 == 0, "threads go on by whole voxels");

    long long first, end;
    int channel;

    __device__ __forceinline__ explicit Units(const BatchNorm<Value>& batch)
        : first((static_cast<long long>(blockIdx.x) * Count * Threads + threadIdx.x) * Width),
          end(batch.voxels * batch.channels),
          channel(static_cast<int>(first & (batch.channels - 1))) {}

    // Calls `visit(place)`.
    template <class Visit>
    __device__ __forceinline__ void each(Visit visit) const {
#pragma unroll
        for (int i = 0; i < Count; i++) {
            const long long place = first + i * Threads * Width;
            if (place < end) {
                visit(place);
            }
        }
    }
};

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
    constexpr int Width = InUnit<Value>;
    const Units<Value> units(batch);
    float scale[Width], shift[Width];
    load_parameters(batch.norm + units.channel, scale);
    load_parameters(batch.norm + batch.channels + units.channel, shift);
    units.each([&](long long place) {
        float values[Width];
        load_unit(batch.y + place, values);
#pragma unroll
        for (int i = 0; i < Width; i++) {
            values[i] = relu_affine(values[i], scale[i], shift[i]);
        }
        add_skip(batch.skip, place, values);
        store_unit(batch.output + place, values);
    });
}

template <class Value>
__device__ void backward(const BatchNorm<Value>& batch) {
    constexpr int Width = InUnit<Value>;
    const Units<Value> units(batch);
    const Norm<Width> norm(batch.norm, batch.channels, units.channel);
    float mean_dz[Width], mean_dzx[Width];
    load_parameters(batch.norm + 4 * batch.channels + units.channel, mean_dz);
    load_parameters(batch.norm + 5 * batch.channels + units.channel, mean_dzx);
    units.each([&](long long place) {
        float y[Width], da[Width];
        load_unit(batch.y + place, y);
        load_unit(batch.da + place, da);
#pragma unroll
        for (int i = 0; i < Width; i++) {
            y[i] = norm.scale[i] * (norm.dz(i, y[i], da[i]) - mean_dz[i] - norm.normalised(i, y[i]) * mean_dzx[i]);
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

// From the sums of y and y^2 to scale, shift, mean and inverse deviation; moves the running statistics. Whether y is in
// f32 or bf16 makes no difference to this and the other kernels that finish.
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
