//! One file per operation.
mod adam;
mod loss;
