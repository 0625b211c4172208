//! The CPU: SIMD lanes with run-time dispatch, the three loops of which every convolution is made, and those over
//! the channels of a voxel ([`channels`]) and over tiles ([`tiles`]).
//!
//! The three loops of convolutions walk along one row of voxels (x) and see the kernel window of a voxel as a few contiguous
//! stretches of memory, because activations are channels-last: the `k` voxels of a window along x are
//! `k * channels` consecutive floats.
//!
//! | loop | computes | serves |
//! |---|---|---|
//! | [`gather`] | `out[v][:] = sum over window: a[v][i] * w[i][:]` | convolutions and their gradients to the input |
//! | [`outer`] | `dw[i][:] += sum over v: a[v][i] * b[v][:]` | gradients to the weights |
//! | [`dot`] | `out[v][o] = sum over window: a[v][i] * w[o][i]` | a convolution to very few channels |
//!
//! Every sum has one fixed order, fused at each step, whatever the instruction set, the length of the row
//! or its place in a block: so results are the same bits everywhere.
pub mod channels;
pub mod dot;
pub mod gather;
pub mod outer;
pub mod roof;
pub mod simd;
pub mod tiles;
