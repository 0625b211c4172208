// Adam over all parameters at once.
//
// `m += (1 - b1) (g - m)`, `v = b2 v + (1 - b2) g^2`, `p -= rate * m / (sqrt(v) / root + epsilon)`, where the host has put the
// corrections of the first steps into `rate` and `root`.

// `Arguments` in src/device/cuda/training/adam.rs.
struct Adam {
    float* parameters;      // [count]
    const float* gradient;  // [count]
    float* first;           // m, [count]
    float* second;          // v, [count]
    long long count;
    float rate, root;
};

extern "C" __global__ void __launch_bounds__(256) adam(Adam step) {
    constexpr float First = 1.0 - 0.9, Kept = 0.999, Second = 1.0 - 0.999, Epsilon = 1e-8;
    const long long i = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
    if (i < step.count) {
        const float g = step.gradient[i];
        const float m = step.first[i] + First * (g - step.first[i]);
        const float v = Kept * step.second[i] + Second * g * g;
        step.first[i] = m;
        step.second[i] = v;
        step.parameters[i] -= step.rate * (m / (sqrtf(v) / step.root + Epsilon));
    }
}
