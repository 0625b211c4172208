// What becomes of the sums of tensor cores (mma_tile.cuh): bias and skip connection are added, and 8 channels are written at once.
#pragma once
#include "grid.cuh"
#include "half8.cuh"

// The tile's voxel v goes to voxel `first + Step * v` of a volume that begins at value `volume`. Where there is no bias or skip
// connection, nothing is added.
template <int Cout, int Step, bool HasSkip, class Tile, class Half>
__device__ __forceinline__ void store_sums(const Tile& tile, const Convolution<Half>& conv, long long volume, Shape first) {
    const Strides<Cout> strides(conv.out);
    const long long start = volume + strides.to(first);
    const auto place = [&](Shape at, int channel) {
        return start + strides.to({Step * at.z, Step * at.y, Step * at.x}) + channel;
    };
    const auto has = [&](Shape at) {
        return inside(conv.out, {first.z + Step * at.z, first.y + Step * at.y, first.x + Step * at.x});
    };
    const auto bias = [&](int channel) { return Bias8(conv.epilogue, channel); };
    const auto skip = [&](Shape at, int channel) {
        return HasSkip && conv.skip && has(at) ? *reinterpret_cast<const uint4*>(conv.skip + place(at, channel))
                                               : make_uint4(0, 0, 0, 0);
    };
    tile.each(bias, skip, [&](Shape at, int channel, float (&values)[8], const Bias8& biases, uint4 skipped) {
        if (has(at)) {
            biases.add(values);
            if (HasSkip) {
                add<Half>(values, skipped);
            }
            *reinterpret_cast<uint4*>(static_cast<Half*>(conv.output) + place(at, channel)) = to_halves<Half>(values);
        }
    });
}
