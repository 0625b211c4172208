//! `tascan bench`: how fast every operation is, beside what the device can do at most.
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use crate::cases::{self, About, Case, Pipe};
use crate::device::choice::Choice;
use crate::device::cuda::Gpu;
use crate::device::{Device, Precision, cpu, cuda};
use crate::error::{Error, Result};
use crate::pipeline::{self, Model};
use crate::synth::{self, Parameters};
use crate::volume::Volume;

/// Times every operation, and a whole volume, on a device.
///
/// A row for each: the median time with the least and the greatest, the rate of what bounds it, arithmetic or memory, and
/// how near that comes to the roof that was measured on this device. Operations of the CPU alone are `cargo bench`'s.
#[derive(clap::Args)]
pub struct Args {
    /// Only rows whose name holds one of these.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// auto (the first GPU that can be used, else the CPU), cpu, cuda or cuda:NUMBER.
    #[arg(long, default_value_t)]
    device: Choice,
    /// Edge of the volume, in voxels.
    #[arg(long, value_name = "VOXELS", default_value_t = 128, value_parser = clap::value_parser!(u16).range(8..=1024))]
    edge: u16,
}

/// Fewest and most times that something is timed, and the seconds that are enough between them.
const FEWEST: usize = 3;
const MOST: usize = 50;
const ENOUGH: f64 = 1.0;

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let device = args.device.open_one(Precision::default())?;
    let bench = Bench::new(&device)?;
    println!("{device}; roof: {}", bench.roof);
    println!(
        "{:<25} {:<22} {:<5} | median [min-max] ms               | rate            | of the roof",
        "op", "shape", "dtype"
    );
    let wanted = |name: &str| args.names.is_empty() || args.names.iter().any(|part| name.contains(part));
    let mut rows = 0;
    cases::visit_all(bench.gpu.as_ref(), args.edge.into(), &mut |case| {
        if wanted(case.about.operation) {
            rows += 1;
            println!("{}", bench.row(case)?);
        }
        Ok(())
    })?;
    if wanted(WHOLE) {
        rows += 1;
        whole(&device, args.edge.into())?;
    }
    if rows == 0 {
        return Err(Error::invalid(format!("no operation's name holds one of {:?}", args.names)));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the device can do at most, per second.
struct Roof {
    scalar: f64,
    /// `None` on the CPU, as is the way to the host and back.
    tensor: Option<f64>,
    bytes: f64,
    bus: Option<[f64; 2]>,
}

impl std::fmt::Display for Roof {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:.1} GFLOP/s f32", self.scalar / 1e9)?;
        if let Some(tensor) = self.tensor {
            write!(f, ", {:.1} GFLOP/s f16 on tensor cores", tensor / 1e9)?;
        }
        write!(f, ", {:.1} GB/s copied", self.bytes / 1e9)?;
        if let Some([up, down]) = self.bus {
            write!(f, "; {:.1} GB/s from the host, {:.1} GB/s to it", up / 1e9, down / 1e9)?;
        }
        Ok(())
    }
}

struct Bench {
    gpu: Option<Arc<Gpu>>,
    roof: Roof,
}

impl Bench {
    fn new(device: &Device) -> Result<Self> {
        Ok(match device {
            Device::Cpu => {
                let cpu::roof::Roof { flops, bytes } = cpu::roof::Roof::measure();
                Bench { gpu: None, roof: Roof { scalar: flops, tensor: None, bytes, bus: None } }
            }
            Device::Cuda { gpu, .. } => {
                let cuda::roof::Roof { scalar, tensor, bytes, bus } = cuda::roof::Roof::measure(gpu)?;
                Bench {
                    gpu: Some(gpu.clone()),
                    roof: Roof { scalar, tensor: Some(tensor), bytes, bus: Some(bus) },
                }
            }
        })
    }

    fn row(&self, case: &Case) -> Result<String> {
        let About { operation, shape, dtype, work, pipe, .. } = &case.about;
        let [min, median, max] = self.time(case)?;
        let flops = match pipe {
            Pipe::Tensor => self.roof.tensor.unwrap_or(self.roof.scalar),
            Pipe::Scalar => self.roof.scalar,
        };
        let [computing, copying] = [work.operations / flops, work.bytes / self.roof.bytes];
        let (amount, unit) =
            if computing > copying { (work.operations, "GFLOP/s") } else { (work.bytes, "GB/s") };
        let [ms_min, ms, ms_max] = [min, median, max].map(|seconds| 1e3 * seconds);
        let (rate, share) = (amount / median / 1e9, 100.0 * computing.max(copying) / median);
        Ok(format!(
            "{operation:<25} {shape:<22} {dtype:<5} | {ms:9.3} [{ms_min:.3}-{ms_max:.3}] | {rate:7.1} {unit:<7} | {share:3.0} %"
        ))
    }

    /// Least, median and greatest time in seconds, after a run that warms up.
    fn time(&self, case: &Case) -> Result<[f64; 3]> {
        let once = || -> Result<f64> {
            let start = Instant::now();
            match &self.gpu {
                Some(gpu) => case.run_on_gpu().and_then(|()| gpu.wait())?,
                None => case.run_on_cpu(),
            }
            Ok(start.elapsed().as_secs_f64())
        };
        once()?;
        let mut seconds = Vec::new();
        while seconds.len() < FEWEST || seconds.len() < MOST && seconds.iter().sum::<f64>() < ENOUGH {
            seconds.push(once()?);
        }
        seconds.sort_by(f64::total_cmp);
        Ok([seconds[0], seconds[seconds.len() / 2], seconds[seconds.len() - 1]])
    }
}

/// The name of the row of a whole volume.
const WHOLE: &str = "segment";

/// From grey values to labels, stage by stage.
fn whole(device: &Device, edge: usize) -> Result<()> {
    let tissue = synth::sample_with(Parameters::default(), [edge; 3], 1);
    let volume = Volume::from_array(tissue.raw, Some(tissue.spacing));
    let options = pipeline::Options { device: device.clone(), ..Default::default() };
    let model = Model::embedded()?;
    let start = Instant::now();
    let found = pipeline::segment(&volume, &model, &options, &mut ())?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "\n{WHOLE} {edge}^3: {:.3} s, {:.2} million voxels a second, {} cells",
        seconds,
        volume.len() as f64 / seconds / 1e6,
        found.cells.count
    );
    for stage in &found.stages {
        println!("  {:<16} {:9.3} ms", stage.name, 1e3 * stage.seconds);
    }
    Ok(())
}
