//! From a 3D microscopy volume of cell **membranes** to one label per **cell**.
//!
//! The modules in the order in which a volume passes through them:
//!
//! | module | what happens there |
//! |---|---|
//! | [`io`], [`volume`] | a file becomes a [`volume::Volume`]: voxels (z, y, x; x fastest) and their size |
//! | [`intensity`], [`grey`] | grey values are normalised as the model expects |
//! | [`scale`] | a volume of cells too wide for the network is reduced for it |
//! | [`tiles`] | the volume is cut into blocks with a halo |
//! | [`network`], [`weights`] | 3DCellSegNet gives every voxel three probabilities |
//! | [`ops`] | the operations of the network and of the clustering, one file each |
//! | [`supervoxels`], [`tascan`], [`cells`] | classes become super voxels, super voxels become cells |
//! | [`pipeline`] | all of the above, from file to labels |
//! | [`doubts`] | reasons to doubt the result |
//! | [`metrics`] | predicted cells are scored against the truth |
//! | [`synth`], [`train`] | synthetic tissue with its truth, and the training of a network |
//! | [`cases`] | every operation beside its equal on a GPU, to be compared and timed |
pub mod boundary;
pub mod cases;
pub mod cells;
pub mod cli;
pub mod device;
pub mod doubts;
pub mod error;
pub mod grey;
pub mod intensity;
pub mod io;
pub mod memory;
pub mod metrics;
pub mod network;
pub mod ops;
pub mod overview;
pub mod pipeline;
pub mod scale;
pub mod supervoxels;
pub mod synth;
pub mod tascan;
pub mod tiles;
pub mod train;
pub mod volume;
pub mod weights;

pub use error::{Error, Result};
pub use volume::{Shape, Spacing, Volume};
