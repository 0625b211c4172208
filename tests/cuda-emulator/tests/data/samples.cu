// Kernels as one writes them, for what nvcc makes of them: a tiled product in shared memory, the same with an
// asynchronous pipeline and tensor cores, a reduction by shuffles, a histogram by atomics, and a chain of functions.
// nvcc -ptx -arch=compute_75 samples.cu -o samples_75.ptx, and the same with 80: see README.md.
#include <cuda_fp16.h>

constexpr int TILE = 16;

// C[m,n] = A[m,k] B[k,n], sizes any.
extern "C" __global__ void tiled(const float* a, const float* b, float* c, int m, int n, int k) {
    __shared__ float left[TILE][TILE], right[TILE][TILE + 1];
    int row = blockIdx.y * TILE + threadIdx.y, col = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;
    for (int start = 0; start < k; start += TILE) {
        int i = start + threadIdx.x, j = start + threadIdx.y;
        left[threadIdx.y][threadIdx.x] = row < m && i < k ? a[row * k + i] : 0;
        right[threadIdx.y][threadIdx.x] = j < k && col < n ? b[j * n + col] : 0;
        __syncthreads();
        for (int x = 0; x < TILE; ++x) sum += left[threadIdx.y][x] * right[x][threadIdx.x];
        __syncthreads();
    }
    if (row < m && col < n) c[row * n + col] = sum;
}

// out[block] = sum of x over the block's share.
extern "C" __global__ void reduce(const float* x, float* out, int n) {
    __shared__ float partial[32];
    float sum = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += x[i];
    for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0;
        for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
        if (threadIdx.x == 0) out[blockIdx.x] = sum;
    }
}

extern "C" __global__ void histogram(const unsigned char* x, unsigned* bins, int n) {
    __shared__ unsigned mine[256];
    for (int i = threadIdx.x; i < 256; i += blockDim.x) mine[i] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&mine[x[i]], 1u);
    __syncthreads();
    for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&bins[i], mine[i]);
}

// out = softplus(x) scaled through a half, with the accurate library functions.
extern "C" __global__ void functions(const float* x, float* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float y = log1pf(expf(x[i])) / (1.0f + sqrtf(fabsf(x[i]))) + sinf(x[i]) * powf(2.0f, x[i]);
    __half2 pair = __floats2half2_rn(x[i], -x[i]);
    pair = __hfma2(pair, pair, pair);
    out[i] = y + __low2float(pair) - __high2float(pair);
}

#if __CUDA_ARCH__ >= 800
// C[m,n] = A[m,k] B[n,k] transposed, in tiles of 64 x 64 by 4 warps; m, n multiples of 64, k of 32.
__device__ void copy16(void* to, const void* from) {
    unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from));
}

__device__ void fetch(__half (*to)[40], const __half* from, int row, int k, int column) {
    for (int i = threadIdx.x; i < 64 * 4; i += blockDim.x) copy16(&to[i / 4][i % 4 * 8], from + (row + i / 4) * k + column + i % 4 * 8);
}

extern "C" __global__ void pipeline(const __half* a, const __half* b, float* c, int m, int n, int k) {
    __shared__ __align__(16) __half left[2][64][40], right[2][64][40];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, row = blockIdx.y * 64, col = blockIdx.x * 64;
    float sums[8][4] = {};
    fetch(left[0], a, row, k, 0);
    fetch(right[0], b, col, k, 0);
    asm volatile("cp.async.commit_group;");
    for (int step = 0; step < k / 32; ++step) {
        int now = step % 2;
        if (step + 1 < k / 32) {
            fetch(left[1 - now], a, row, k, (step + 1) * 32);
            fetch(right[1 - now], b, col, k, (step + 1) * 32);
        }
        asm volatile("cp.async.commit_group;");
        asm volatile("cp.async.wait_group 1;");
        __syncthreads();
        for (int x = 0; x < 32; x += 16) {
            unsigned f[4];
            unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(&left[now][warp * 16 + lane % 16][x + lane / 16 * 8]));
            asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                         : "=r"(f[0]), "=r"(f[1]), "=r"(f[2]), "=r"(f[3]) : "r"(at));
            for (int tile = 0; tile < 8; ++tile) {
                const __half* g = &right[now][tile * 8 + lane / 4][x + lane % 4 * 2];
                unsigned g0 = *reinterpret_cast<const unsigned*>(g), g1 = *reinterpret_cast<const unsigned*>(g + 8);
                asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                             : "+f"(sums[tile][0]), "+f"(sums[tile][1]), "+f"(sums[tile][2]), "+f"(sums[tile][3])
                             : "r"(f[0]), "r"(f[1]), "r"(f[2]), "r"(f[3]), "r"(g0), "r"(g1));
            }
        }
        __syncthreads();
    }
    for (int tile = 0; tile < 8; ++tile)
        for (int i = 0; i < 4; ++i)
            c[(row + warp * 16 + lane / 4 + i / 2 * 8) * n + col + tile * 8 + lane % 4 * 2 + i % 2] = sums[tile][i];
}
#endif
