//! Blocks with a halo.
