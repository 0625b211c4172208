//! The program itself on a crop of a real volume: the CPU's labels in f32, and nearly its cells in f16.
use ndarray::Array3;
use tascan::io::{self, Role};
use tascan::metrics::{Options, Scores};

use super::driver::{are_kernels_built, with_emulator};
use crate::cli::sandbox::Sandbox;
use crate::oracle;

/// Where the crop begins, and its extent: some cells of the middle of the ovule.
const START: [usize; 3] = [8, 40, 40];
const SHAPE: [usize; 3] = [16, 48, 48];
/// Of probabilities, between f16 and f32. Worst seen: 6.2e-4.
const PROBABILITY_TOLERANCE: f32 = 5e-3;
/// Adapted Rand error of the cells in f16 against those in f32. Seen: 2e-5, of 10 cells.
const LARGEST_ERROR: f64 = 0.01;

/// Segments the crop in this precision on the emulated GPU, to `PRECISION.tif` and what lies before it.
fn segment(sandbox: &Sandbox, precision: &str) {
    let mut command = with_emulator(sandbox.command(), "8.0");
    let line = format!(
        "segment raw.tif -o {precision}.tif --device cuda --precision {precision} --scale 1 --save-probabilities"
    );
    let output = command.args(line.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{line}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
}

fn probabilities(sandbox: &Sandbox, precision: &str) -> Vec<Array3<f32>> {
    let name = |class| sandbox.path(&format!("{precision}_{class}.tif"));
    let read = |class| io::open(&name(class), Role::Raw).unwrap().read_f32([0; 3], SHAPE);
    ["background", "membrane", "foreground"].map(read).into()
}

#[test]
fn a_real_crop_has_the_cells_of_the_cpu() {
    let Some(path) = oracle::shared("data/ovule_raw.tif") else { return };
    if !are_kernels_built() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("raw.tif", io::open(&path, Role::Raw).unwrap().read_f32(START, SHAPE).view());
    sandbox.succeeds("segment raw.tif -o cpu.tif --device cpu --scale 1");
    ["f32", "f16"].iter().for_each(|precision| segment(&sandbox, precision));
    let [cpu, single, half] = ["cpu", "f32", "f16"].map(|name| sandbox.labels(&format!("{name}.tif")));
    assert_eq!(single, cpu);
    let pairs = probabilities(&sandbox, "f16").into_iter().zip(probabilities(&sandbox, "f32"));
    let worst = pairs.flat_map(|(a, b)| (a - b).into_iter()).map(f32::abs).fold(0.0, f32::max);
    let scores = Scores::compare(half.view(), single.view(), &Options::default()).unwrap();
    println!("{} cells, worst difference {worst:e}, {}", scores.truth_cells, scores.adapted_rand_error);
    assert!(scores.truth_cells > 3, "too few cells to compare: {}", scores.truth_cells);
    assert!(worst <= PROBABILITY_TOLERANCE, "{worst}");
    assert!(scores.adapted_rand_error <= LARGEST_ERROR, "{}", scores.adapted_rand_error);
}
