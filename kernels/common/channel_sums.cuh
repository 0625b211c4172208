// Two sums for every channel over all voxels of a batch, in a fixed order: f32 within a thread, f64 beyond.
//
// Each block of threads adds up one chunk of voxels and writes `[chunk][2][channel]`; a block for every four channels adds the
// chunks.
#pragma once

constexpr int SumThreads = 256;
constexpr int SumChunk = 512;   // voxels of a block: `CHUNK` in src/device/cuda/training/batch_norm.rs
constexpr int SumChannels = 4;  // of a block of the second stage: `CHANNELS` there; a sector of memory

// Writes the sums of one chunk; `pair(place, sums)` adds two values each to the sums of the Width channels from place
// `voxel * Channels + channel` on, the channel being the same for all of a thread's.
template <int Channels, int Width, class Pair>
__device__ __forceinline__ void sum_chunk(long long voxels, double* partial, Pair pair) {
    constexpr int Lanes = Channels / Width;
    // Of three channels 32 rows at least, so that warps begin with whole sectors.
    constexpr int Rows = Channels % 32 == 0 ? SumThreads / Lanes : SumThreads / Lanes / 32 * 32;
    // Those of a thread's channels, and neighbouring channels, are in different banks.
    constexpr int Pitch = Width == 1 ? Lanes : Lanes + 4;
    __shared__ double2 sums[Rows * Width * Pitch];
    const int lane = threadIdx.x % Lanes, row = threadIdx.x / Lanes;
    const long long first = static_cast<long long>(blockIdx.x) * SumChunk;
    const int count = static_cast<int>(min(voxels - first, static_cast<long long>(SumChunk)));
    if (row < Rows) {
        float2 sum[Width] = {};
        for (int i = row; i < count; i += Rows) {
            pair((first + i) * Channels + lane * Width, sum);
        }
#pragma unroll
        for (int i = 0; i < Width; i++) {
            sums[(row * Width + i) * Pitch + lane] = make_double2(sum[i].x, sum[i].y);
        }
    }
    __syncthreads();
    const int channel = threadIdx.x;
    if (channel < Channels) {
        double2 total = make_double2(0.0, 0.0);
        for (int i = 0; i < Rows; i++) {
            const double2 part = sums[(i * Width + channel % Width) * Pitch + channel / Width];
            total = make_double2(total.x + part.x, total.y + part.y);
        }
        partial[(2ll * blockIdx.x) * Channels + channel] = total.x;
        partial[(2ll * blockIdx.x + 1) * Channels + channel] = total.y;
    }
}

// The sums over all chunks of one channel.
struct ChannelSums {
    int channel;
    bool is_here;  // whether the thread has them, and there is such a channel
    double2 sums;

    __device__ __forceinline__ ChannelSums(const double* partial, int chunks, int channels) {
        constexpr int Parts = SumThreads / SumChannels;
        __shared__ double2 parts[SumThreads];
        const int part = threadIdx.x / SumChannels;
        channel = blockIdx.x * SumChannels + threadIdx.x % SumChannels;
        is_here = part == 0 && channel < channels;
        sums = make_double2(0.0, 0.0);
        for (long long i = part; i < chunks && channel < channels; i += Parts) {
            add(make_double2(partial[2 * i * channels + channel], partial[(2 * i + 1) * channels + channel]));
        }
        parts[threadIdx.x] = sums;
        __syncthreads();
        for (int i = 1; i < Parts && is_here; i++) {
            add(parts[threadIdx.x + i * SumChannels]);
        }
    }

private:
    __device__ __forceinline__ void add(double2 other) { sums = make_double2(sums.x + other.x, sums.y + other.y); }
};
