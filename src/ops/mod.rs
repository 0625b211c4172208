//! The operations of the network and of the clustering, one file each.
