//! Where operations run.
pub mod cpu;
