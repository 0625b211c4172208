//! One row an operation: its time, its rate and how near that comes to the measured roof.
//!
//! Criterion warms up, samples, and keeps every run for comparison with the next one; its arguments work as
//! usual (`cargo bench -- conv3d`, `--save-baseline NAME`, `--quick`). The rows of this run stand at the end.
use std::fmt;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode};

use tascan::device::cpu::roof::Roof;

/// Fewest samples that criterion takes.
const SAMPLES: usize = 10;

/// What an operation has to do, at the least.
#[derive(Clone, Copy)]
pub struct Work {
    /// Arithmetic operations; a multiply-add counts as two.
    pub operations: f64,
    /// Bytes read and written once each.
    pub bytes: f64,
}

/// The name of a row.
pub struct Name<'a> {
    /// The operation: the stem of its file in `src/ops`, then what part of it.
    pub operation: &'a str,
    /// Extents, z, y, x last.
    pub shape: &'a str,
    /// Type of the values.
    pub dtype: &'a str,
}

/// All measurements of one run.
pub struct Harness {
    criterion: Criterion,
    roof: Roof,
    rows: Vec<Row>,
}

impl Harness {
    /// Reads criterion's arguments and measures the roof.
    pub fn new() -> Self {
        let criterion = Criterion::default()
            .sample_size(SAMPLES)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(2))
            .configure_from_args();
        let roof = Roof::measure();
        Harness { criterion, roof, rows: Vec::new() }
    }

    /// Measures `run` on what `set_up` makes; nothing is set up for a row that the arguments leave out.
    pub fn row<S>(
        &mut self,
        name: Name,
        work: Work,
        set_up: impl FnOnce() -> S,
        mut run: impl FnMut(&mut S),
    ) {
        let mut seconds = Vec::new();
        let mut group = self.criterion.benchmark_group(name.operation);
        group.sampling_mode(SamplingMode::Flat);
        let mut set_up = Some(set_up);
        let mut state = None;
        group.bench_function(BenchmarkId::new(name.shape, name.dtype), |bencher| {
            if let Some(set_up) = set_up.take() {
                state = Some(set_up());
            }
            let state = state.as_mut().expect("set up at the first call");
            bencher.iter_custom(|iterations| {
                let start = Instant::now();
                (0..iterations).for_each(|_| run(state));
                let elapsed = start.elapsed();
                seconds.push(elapsed.as_secs_f64() / iterations as f64);
                elapsed
            });
        });
        group.finish();
        // The warm-up comes first.
        let samples = seconds.split_off(seconds.len().saturating_sub(SAMPLES));
        if !samples.is_empty() {
            self.rows.push(Row::new(&name, work, samples, self.roof));
        }
    }

    /// Prints the rows.
    pub fn finish(self) {
        self.criterion.final_summary();
        println!(
            "\nroof, {} threads: {:.1} GFLOP/s fused multiply-add f32, {:.1} GB/s copied",
            rayon::current_num_threads(),
            self.roof.flops / 1e9,
            self.roof.bytes / 1e9
        );
        println!("{:<32} {:<26} {:<5} | median [min-max] ms | rate | of the roof", "op", "shape", "dtype");
        self.rows.iter().for_each(|row| println!("{row}"));
    }
}

/// One line of the result.
struct Row {
    label: String,
    /// Seconds, ascending.
    samples: Vec<f64>,
    work: Work,
    roof: Roof,
}

impl Row {
    fn new(name: &Name, work: Work, mut samples: Vec<f64>, roof: Roof) -> Self {
        samples.sort_by(f64::total_cmp);
        let label = format!("{:<32} {:<26} {:<5}", name.operation, name.shape, name.dtype);
        Row { label, samples, work, roof }
    }

    fn median(&self) -> f64 {
        let middle = self.samples.len() / 2;
        (self.samples[(self.samples.len() - 1) / 2] + self.samples[middle]) / 2.0
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (Work { operations, bytes }, median) = (self.work, self.median());
        let [min, max] = [self.samples[0], self.samples[self.samples.len() - 1]];
        let computes = operations / self.roof.flops > bytes / self.roof.bytes;
        let (rate, unit) = if computes { (operations, "GFLOP/s") } else { (bytes, "GB/s") };
        write!(
            f,
            "{} | {:8.3} [{:.3}-{:.3}] ms | {:7.1} {unit} | {:3.0} %",
            self.label,
            median * 1e3,
            min * 1e3,
            max * 1e3,
            rate / median / 1e9,
            100.0 * self.roof.seconds(operations, bytes) / median
        )
    }
}
