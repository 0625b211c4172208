//! Every instruction group against its definition in the PTX manual, computed here with plain integers and doubles;
//! kernels that must be caught; and what nvcc makes of realistic sources.

mod arithmetic;
mod broken;
mod conversions;
mod flow;
mod harness;
mod matrices;
mod samples;
mod warps;
