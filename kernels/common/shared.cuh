// Shared memory by instructions of its own.
#pragma once

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

// 16 bytes at once. From the same source nvcc 13.0 makes one load or four, now this and now that.
__device__ __forceinline__ float4 load_shared(const float* from) {
    float4 to;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(to.x), "=f"(to.y), "=f"(to.z), "=f"(to.w)
                 : "r"(shared_address(from))
                 : "memory");
    return to;
}
