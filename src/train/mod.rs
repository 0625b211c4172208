//! Training of 3DCellSegNet, from `run.toml` to a model.
//!
//! A volume becomes normalised grey values, classes and weights ([`volumes`], [`masks`]); random cuboids of it, turned
//! and degraded ([`augment`]), become batches ([`batches`]); a step is a forward pass, the loss, a backward pass and
//! Adam at the [`rate`] of the step ([`run`]). Now and then the network is scored on held-out volumes
//! ([`validation`]), and the state is written ([`checkpoint`], [`log`], [`curve`]).
pub mod augment;
pub mod batches;
pub mod checkpoint;
pub mod config;
pub mod curve;
pub mod log;
pub mod masks;
pub mod rate;
pub mod run;
pub mod validation;
pub mod volumes;
