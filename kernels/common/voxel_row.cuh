// A row of Length voxels in shared memory, Units 16-byte parts of each, laid out for ldmatrix: what 8 neighbouring outputs of a
// convolution at stride Stride read at one position lies in different banks.
#pragma once

template <int Length, int Stride, int Units>
struct VoxelRow {
    static constexpr int Voxels = Length, Size = Length * Units;
    static constexpr int Apart = Stride;            // from a voxel to that of the next slot, but behind the last even one
    static constexpr int Evens = (Length + 1) / 2;  // voxels whose x is even

    // Where a voxel lies: at stride 2 those of one parity side by side, so that 8 outputs read 8 neighbours.
    static __device__ __forceinline__ int slot(int x) {
        return Stride == 1 ? x : x % 2 * Evens + x / 2;
    }

    // The voxel that lies there.
    static __device__ __forceinline__ int voxel_in(int slot) {
        return Stride == 1 ? slot : slot < Evens ? 2 * slot : 2 * (slot - Evens) + 1;
    }

    // Where 16 bytes of a voxel lie: permuted, so that those of 8 neighbouring slots are in different banks.
    static __device__ __forceinline__ int place(int slot, int unit) {
        return slot * Units + (unit ^ (slot / (8 / Units) % Units));
    }
};
