//! Training of 3DCellSegNet.
pub mod augment;
pub mod masks;
