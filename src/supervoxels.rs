//! From classes to super voxels.
