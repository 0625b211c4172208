// Where the logits or probabilities and the classes of a part of a volume go: to the part by itself, and to its place in the whole
// volume.
#pragma once
#include <cstdint>

#include "classes.cuh"
#include "grid.cuh"

// A volume of `extent`, and the part's first voxel in it (`Place` in src/ops/cuda/places.rs). What is not wanted is null.
struct Place {
    float* values;     // logits or probabilities, [z][y][x][class]
    uint8_t* classes;  // [z][y][x]
    Shape extent, first;
    int keeps_lowest;         // whether a class that is there already stays where it is lower
    int takes_probabilities;  // whether the values are probabilities

    // The number of a voxel of the part.
    __device__ __forceinline__ long long number(Shape at) const {
        return voxel(extent, {first.z + at.z, first.y + at.y, first.x + at.x});
    }

    // Writes one of the three values of a voxel; values are wanted.
    __device__ __forceinline__ void put(long long number, int which, float value) const {
        values[number * Classes + which] = value;
    }

    // Writes the class of a voxel; classes are wanted.
    __device__ __forceinline__ void put_class(long long number, uint8_t found) const {
        uint8_t* there = classes + number;
        *there = keeps_lowest && *there < found ? *there : found;
    }
};

// Writes the logit, or where a place may take it the probability, of one class of a voxel of the part, which has these three
// logits.
template <bool MayTakeProbabilities>
__device__ __forceinline__ void put(const Place (&places)[2], Shape at, int which, const float* logits) {
    for (const Place& place : places) {
        if (place.values) {
            const bool takes_probability = MayTakeProbabilities && place.takes_probabilities;
            place.put(place.number(at), which,
                      takes_probability ? probability(which, logits[0], logits[1], logits[2]) : logits[which]);
        }
    }
}

// Writes the class of a voxel of the part.
__device__ __forceinline__ void put_class(const Place (&places)[2], Shape at, uint8_t found) {
    for (const Place& place : places) {
        if (place.classes) {
            place.put_class(place.number(at), found);
        }
    }
}
