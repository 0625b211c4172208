// 16 bytes of memory at once, by instructions of their own: from the same source nvcc 13.0 makes one access or four, now this
// and now that.
#pragma once

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

__device__ __forceinline__ float4 load_shared(const float* from) {
    float4 to;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(to.x), "=f"(to.y), "=f"(to.z), "=f"(to.w)
                 : "r"(shared_address(from))
                 : "memory");
    return to;
}

__device__ __forceinline__ void store_global(float* to, float4 value) {
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};"
                 :
                 : "l"(__cvta_generic_to_global(to)), "f"(value.x), "f"(value.y), "f"(value.z), "f"(value.w)
                 : "memory");
}
