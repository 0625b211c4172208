// Relabelling by a table: label n becomes table[n].
namespace {

struct Relabel {
    unsigned int* labels;
    const unsigned int* table;
    long long voxels;
};

}  // namespace

extern "C" __global__ void __launch_bounds__(256) relabel(Relabel relabel) {
    const long long number = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (number < relabel.voxels) {
        relabel.labels[number] = relabel.table[relabel.labels[number]];
    }
}
