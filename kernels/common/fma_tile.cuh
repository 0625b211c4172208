// Sums over windows in f32, for a tile of output voxels and all output channels.
//
// A block of threads holds Chunk channels of its input voxels, border included, in shared memory, where they serve all
// taps. A thread adds up a run of 8 voxels along x for 4 channels: a voxel is read once for the taps along x,
// and the weights, which the caches hold, once for the run. Each sum is fused and in one order (chunk, z, y, channels by
// four, x), wherever the tile lies.
#pragma once
#include "affine.cuh"
#include "grid.cuh"
#include "taps.cuh"
#include "vectors.cuh"

template <int Taps, int Stride, int Cin, int Cout, int Chunk, int TileZ, int TileY>
struct FmaTile {
    static constexpr int TileX = 8;
    static constexpr int Lanes = Cout / 4;  // threads that share a run of voxels
    static constexpr int Threads = TileZ * TileY * Lanes;
    static constexpr int InZ = (TileZ - 1) * Stride + Taps;
    static constexpr int InY = (TileY - 1) * Stride + Taps;
    static constexpr int InX = (TileX - 1) * Stride + Taps;
    static constexpr int Pitch = InX * Chunk + 4;  // an odd number of 16 bytes: neighbouring rows use other banks
    static constexpr int Floats = InZ * InY * Pitch;

    int lane, y, z;  // the thread's channels 4 * lane.., and its run

    __device__ FmaTile() : lane(threadIdx.x % Lanes), y(threadIdx.x / Lanes % TileY), z(threadIdx.x / Lanes / TileY) {}

    // Fills the tile, `[z][y][x][Chunk]` with Pitch floats a row, with channels `channel`.. of the input voxels from `origin` on, zero
    // outside, each passed through `prologue`.
    template <class Prologue>
    static __device__ __forceinline__ void load(float* tile, const float* input, Shape extent, Shape origin, int channel,
                                                Prologue prologue) {
        constexpr int Groups = Chunk / 4;
        for (int i = threadIdx.x; i < InZ * InY * InX * Groups; i += Threads) {
            const int group = i % Groups, x = i / Groups % InX, row = i / (Groups * InX);
            const Shape at = {origin.z + row / InY, origin.y + row % InY, origin.x + x};
            float4 value = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (inside(extent, at)) {
                const int first = channel + 4 * group;
                value = prologue(*reinterpret_cast<const float4*>(input + voxel(extent, at) * Cin + first), first);
            }
            *reinterpret_cast<float4*>(tile + row * Pitch + x * Chunk + 4 * group) = value;
        }
    }

    // Adds the products of what the tile holds; `weights` begin at the chunk, `[tap][Cin][Cout]`.
    template <class Added>
    __device__ void accumulate(const float* tile, const float* weights, Added added, float4 (&sum)[TileX]) const {
#pragma unroll 1
        for (int zy = 0; zy < Taps * Taps; zy++) {
            if (!added.has_row(zy / Taps, zy % Taps)) {
                continue;
            }
            const float* row = tile + ((z * Stride + zy / Taps) * InY + y * Stride + zy % Taps) * Pitch;
            const float* first = weights + zy * Taps * Cin * Cout + 4 * lane;
#pragma unroll 1
            for (int c = 0; c < Chunk; c += 4) {
#pragma unroll
                for (int x = 0; x < Taps; x++) {
                    if (added.has(x)) {
                        tap(row + x * Chunk + c, first + (x * Cin + c) * Cout, sum);
                    }
                }
            }
        }
    }

    // Four input channels at one tap.
    static __device__ __forceinline__ void tap(const float* voxels, const float* weights, float4 (&sum)[TileX]) {
        const float4* w = reinterpret_cast<const float4*>(weights);
        const float4 w0 = __ldg(w), w1 = __ldg(w + Lanes), w2 = __ldg(w + 2 * Lanes), w3 = __ldg(w + 3 * Lanes);
#pragma unroll
        for (int v = 0; v < TileX; v++) {
            const float4 value = load_shared(voxels + v * Stride * Chunk);
            multiply_add(sum[v], value.x, w0);
            multiply_add(sum[v], value.y, w1);
            multiply_add(sum[v], value.z, w2);
            multiply_add(sum[v], value.w, w3);
        }
    }

    // All input channels, chunk by chunk.
    template <class Prologue, class Added = AllTaps>
    __device__ void run(const float* input, const float* weights, Shape extent, Shape origin, Prologue prologue,
                        float4 (&sum)[TileX], Added added = Added()) {
        __shared__ __align__(16) float tile[Floats];
#pragma unroll
        for (int v = 0; v < TileX; v++) {
            sum[v] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
#pragma unroll 1
        for (int channel = 0; channel < Cin; channel += Chunk) {
            __syncthreads();
            load(tile, input, extent, origin, channel, prologue);
            __syncthreads();
            accumulate(tile, weights + channel * Cout, added, sum);
        }
    }
};
