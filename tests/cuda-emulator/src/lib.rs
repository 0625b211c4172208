//! A `libcuda.so` for machines without a GPU: it exports the driver's symbols and executes PTX on the CPU, a warp
//! at a time, checking what compute-sanitizer checks and counting what a profiler counts.
//!
//! The way of a launch: `driver` (exported symbols) -> `parse` (PTX text) -> `exec::program` (decoded closures) ->
//! `driver::queue` (streams) -> `exec::launch` (blocks over cores) -> `exec::block` (warps, barriers) -> `exec::schedule` (lanes) -> `memory`
//! (bytes with their shadow) -> `check` (faults), `count` (profile).
//!
//! Environment: `CUDA_EMULATOR_DEVICES` (how many, default 1), `CUDA_EMULATOR_CC` (compute capability, default 8.0),
//! `CUDA_EMULATOR_REPORT` (path of a JSON profile), `CUDA_EMULATOR_EXIT_CODE` (exit code of a process that met a
//! fault); the README has those that make trouble.

pub mod check;
pub mod count;
pub mod driver;
pub mod error;
pub mod exec;
pub mod memory;
pub mod module;
pub mod numeric;
pub mod parse;
