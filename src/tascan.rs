//! TASCAN: super voxels that share a large touching area become one cell.
