//! The kernels that ship, run by the emulated driver, against the CPU.
mod cells;
mod contrast;
mod doubling;
mod driver;
mod enlargement;
mod images;
mod network;
mod outer_layers;
mod probabilities;
mod real;
mod segment;
mod selftest;
mod several;
mod training;
mod transfer;
mod trouble;
