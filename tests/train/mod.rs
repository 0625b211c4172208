//! Training: targets, batches, the authors' first five steps, configurations, resuming.
mod batches;
mod config;
mod resume;
mod steps;
mod targets;
