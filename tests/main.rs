//! All integration tests in one binary.
mod augment;
mod cells;
mod checkpoints;
mod cli;
mod compare;
mod files;
mod intensity;
mod metrics;
mod network;
mod ops;
mod oracle;
mod overview;
mod pipeline;
mod recipe;
mod synth;
mod train;
mod weights;
