//! `tascan selftest`: every operation of a GPU against the CPU.
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use crate::cases::{self, About, Case};
use crate::device::choice::Choice;
use crate::device::cuda::Gpu;
use crate::device::{Device, Precision};
use crate::error::{Error, Result};

/// Computes every operation on a GPU and on the CPU and compares.
///
/// A row for each: the greatest deviation, the bound that rounding keeps, and the time on both. The exit status is 1 where
/// a deviation exceeds its bound.
#[derive(clap::Args)]
pub struct Args {
    /// The GPU: auto (the first that can be used), cuda, cuda:NUMBER, or cuda:all for each in its turn.
    #[arg(long, default_value_t)]
    device: Choice,
    /// Edge of the volume that the network and the clustering get, in voxels.
    #[arg(long, value_name = "VOXELS", default_value_t = 64, value_parser = clap::value_parser!(u16).range(8..=1024))]
    edge: u16,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let mut right = true;
    for device in args.device.open(Precision::default())?.each() {
        let Device::Cuda { gpu, .. } = device else {
            return Err(Error::invalid(
                "there is no GPU to test (tascan -v says why); the CPU is what a GPU is compared with",
            ));
        };
        right &= test(&gpu, args.edge.into())?;
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the table of one GPU; whether all of it is right.
fn test(gpu: &Arc<Gpu>, edge: usize) -> Result<bool> {
    println!("{gpu:?}");
    println!(
        "{:<25} {:<22} {:<5} | deviation (bound)     |     GPU ms |     CPU ms |",
        "op", "shape", "dtype"
    );
    let (mut rows, mut failed) = (0, 0);
    cases::visit_all(Some(gpu), edge, &mut |case| {
        rows += 1;
        failed += usize::from(!row(gpu, case)?);
        Ok(())
    })?;
    println!("{} of {rows} operations agree with the CPU", rows - failed);
    Ok(failed == 0)
}

/// Prints one row; whether the GPU is right.
fn row(gpu: &Gpu, case: &Case) -> Result<bool> {
    let About { operation, shape, dtype, tolerance, .. } = &case.about;
    let deviation = case.deviation()?.unwrap_or(f64::NAN);
    let on_gpu = seconds(|| case.run_on_gpu().and_then(|()| gpu.wait()))?;
    let on_cpu = seconds(|| {
        case.run_on_cpu();
        Ok(())
    })?;
    let passed = deviation <= *tolerance;
    let verdict = if passed { "ok" } else { "WRONG" };
    let [on_gpu, on_cpu] = [on_gpu, on_cpu].map(|seconds| seconds * 1e3);
    println!(
        "{operation:<25} {shape:<22} {dtype:<5} | {deviation:9.2e} ({tolerance:.0e}) | {on_gpu:10.3} | {on_cpu:10.3} | {verdict}"
    );
    Ok(passed)
}

fn seconds(run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64())
}
