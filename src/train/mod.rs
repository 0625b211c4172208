//! Training of 3DCellSegNet.
pub mod masks;
