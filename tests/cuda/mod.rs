//! The kernels that ship, run by the emulated driver, against the CPU.
mod driver;
mod network;
mod segment;
mod training;
