//! The operations of the network and of the clustering, one file each.
pub mod adam;
pub mod loss;
