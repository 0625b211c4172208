// The taps of a window that are added to a sum.
#pragma once
#include "grid.cuh"

struct AllTaps {
    __device__ static constexpr bool has_row(int, int) {
        return true;
    }
    __device__ static constexpr bool has(int) {
        return true;
    }
    // Of so many along each axis.
    __device__ static constexpr int count(int taps) {
        return taps * taps * taps;
    }
};

// Those from one tap on along each axis.
struct TapsFrom {
    Shape first;

    __device__ bool has_row(int z, int y) const {
        return first.z <= z && first.y <= y;
    }
    __device__ bool has(int x) const {
        return first.x <= x;
    }
    __device__ int count(int taps) const {
        return (taps - first.z) * (taps - first.y) * (taps - first.x);
    }
};

template <class Added>
constexpr bool is_all_taps = false;
template <>
constexpr bool is_all_taps<AllTaps> = true;
