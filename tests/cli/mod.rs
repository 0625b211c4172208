//! The real program, run in a temporary folder.
mod annotation;
mod bad_input;
mod commands;
mod reports;
pub mod sandbox;
