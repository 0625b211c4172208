//! Where operations run.
pub mod choice;
pub mod cpu;
