//! Local contrast on the GPU against the CPU, bit by bit; volumes that are normalised so, whole and in blocks.
use std::process::Output;
use std::sync::Arc;

use ndarray::Array3;
use tascan::device::Precision;
use tascan::device::cuda::Gpu;
use tascan::grey::{Grey, Stored};
use tascan::intensity::Scaling;
use tascan::network::engine::{self, Engine};
use tascan::network::prediction::{Prediction, Predictor};
use tascan::ops::contrast::Contrast;
use tascan::ops::cuda::contrast::{SUMS, normalise};
use tascan::ops::first_conv::Voxels;
use tascan::scale::Sampling;
use tascan::synth::{self, Parameters};
use tascan::volume::Ranges;
use tascan::{Shape, Volume, tiles};

use super::driver::{
    CAPABILITIES, are_kernels_built, emulated, emulated_in_orders, emulated_with, with_emulator,
};
use super::network::{noise, on};
use crate::cli::sandbox::Sandbox;
use crate::{compare, recipe};

/// Half a width, what is sent, and the part's first voxel and extent: shapes smaller than the cube, single voxels, parts at faces and
/// inside, rows of several tiles, more rows than a block of threads takes.
const CASES: [(usize, Shape, Shape, Shape); 11] = [
    (3, [1, 1, 1], [0; 3], [1, 1, 1]),
    (12, [5, 6, 7], [0; 3], [5, 6, 7]),
    (16, [3, 2, 19], [1, 0, 4], [1, 2, 11]),
    (1, [9, 20, 41], [0; 3], [9, 20, 41]),
    (1, [4, 5, 196], [1, 1, 1], [2, 3, 193]),
    (5, [7, 13, 120], [0, 5, 5], [4, 3, 97]),
    (5, [12, 11, 33], [5, 5, 5], [1, 1, 1]),
    (12, [30, 3, 110], [12, 0, 12], [18, 3, 96]),
    (12, [27, 27, 27], [12, 12, 12], [3, 3, 3]),
    (16, [37, 35, 34], [0, 2, 1], [37, 17, 33]),
    (2, [2, 140, 5], [0, 1, 0], [2, 138, 5]),
];

/// Numbers of each type in which there may be voxels, and what makes of them intensities, some beyond the lowest and the highest level.
fn numbers(shape: Shape) -> [(Stored, Scaling); 3] {
    let values = noise(shape);
    let scaling = |width: f32| Scaling { offset: 0.31 * width, scale: 2.3 / width };
    [
        (Stored::U8(values.mapv(|x| (127.5 + 127.5 * x) as u8)), scaling(255.0)),
        (Stored::U16(values.mapv(|x| (32_767.5 + 32_767.5 * x) as u16)), scaling(65_535.0)),
        (Stored::F32(values.mapv(|x| 1e-3 * (1.0 + x))), scaling(2e-3)),
    ]
}

fn ranges(first: Shape, extent: Shape) -> Ranges {
    [0, 1, 2].map(|axis| first[axis]..first[axis] + extent[axis])
}

fn bits(values: &Array3<f32>) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn voxels_have_the_bits_of_the_cpu() {
    emulated("cuda::contrast::voxels_have_the_bits_of_the_cpu", |gpu| {
        for (i, (half_width, shape, first, extent)) in CASES.into_iter().enumerate() {
            let (part, contrast) =
                (ranges(first, extent), Contrast { half_width, floor: [0.001, 0.05, 1.0][i % 3] });
            for (stored, scaling) in numbers(shape) {
                let grey = Grey::new(stored, scaling);
                let voxels = Voxels::send(gpu, &grey).unwrap();
                let expected = contrast.normalise(grey.into_normalised().view(), &part);
                // A plane at a time, some planes, all of them.
                for most in [0, 100_000, SUMS] {
                    let found =
                        normalise(gpu, &voxels, contrast, &part, most).unwrap().download(gpu).unwrap();
                    assert!(
                        bits(&found) == bits(&expected),
                        "{part:?} of {shape:?}, {contrast:?}, {most} bytes"
                    );
                }
            }
        }
    });
}

#[test]
fn what_is_flat_becomes_zero() {
    emulated("cuda::contrast::what_is_flat_becomes_zero", |gpu| {
        let (shape, contrast) = ([17, 18, 40], Contrast { half_width: 16, floor: 0.001 });
        for value in [-7.0, 0.3, 80.0] {
            let grey = Array3::from_elem(shape, value).into();
            let voxels = Voxels::send(gpu, &grey).unwrap();
            let found = normalise(gpu, &voxels, contrast, &ranges([0; 3], shape), SUMS).unwrap();
            assert!(bits(&found.download(gpu).unwrap()).iter().all(|bits| *bits == 0), "{value}");
        }
    });
}

/// A volume of which the network sees the local contrast.
struct Local {
    volume: Volume,
    scaling: Scaling,
    contrast: Contrast,
}

impl Local {
    fn new(shape: Shape, half_width: usize) -> Self {
        let raw = noise(shape).mapv(|x| (1000.0 + 1000.0 * x) as u16);
        let scaling = Scaling { offset: 301.7, scale: 1.0 / 1234.5 };
        Local {
            volume: Volume::from_array(raw, None),
            scaling,
            contrast: Contrast { half_width, floor: 0.05 },
        }
    }

    fn read(&self, start: Shape, extent: Shape) -> Grey<'_> {
        let (first, covered, part) = self.contrast.covered(start, extent, self.volume.shape());
        Grey::of_block(&self.volume, first, covered, self.scaling).with_contrast(self.contrast, part)
    }

    /// The prediction, and how often voxels were read.
    fn predict(&self, predictor: &Predictor, block: Shape) -> (Prediction, usize) {
        let mut reads = 0;
        let mut read = |start, extent| {
            reads += 1;
            Ok(self.read(start, extent))
        };
        (predictor.predict(self.volume.shape(), block, &mut read, &mut |_| ()).unwrap(), reads)
    }
}

fn predictor(gpu: &Arc<Gpu>, precision: Precision) -> Predictor {
    let mut predictor = Predictor::on(&on(gpu, precision), &recipe::cellsegnet_weights(3), false).unwrap();
    predictor.keep_probabilities = true;
    predictor
}

#[test]
fn the_network_sees_what_the_cpu_would_give_it() {
    emulated("cuda::contrast::the_network_sees_what_the_cpu_would_give_it", |gpu| {
        let engine = Engine::new(&on(gpu, Precision::F32), &recipe::cellsegnet_weights(3)).unwrap();
        let local = Local::new([6, 12, 50], 3);
        let grey = local.read([1, 0, 7], [3, 9, 41]);
        let normalised = grey.clone().into_normalised().into();
        assert_eq!(engine.logits(&grey).unwrap(), engine.logits(&normalised).unwrap());
    });
}

#[test]
fn blocks_give_the_bits_of_the_whole_volume_in_whatever_order_streams_run() {
    let test = "cuda::contrast::blocks_give_the_bits_of_the_whole_volume_in_whatever_order_streams_run";
    emulated_in_orders(test, 3, |gpu| {
        let (local, predictor) = (Local::new([2, 3, 160], 5), predictor(gpu, Precision::F16));
        let [whole, blocks] = [[1000; 3], [8, 8, 16]].map(|block| local.predict(&predictor, block).0);
        assert!(blocks.classes == whole.classes && blocks.probabilities == whole.probabilities);
    });
}

#[test]
fn blocks_that_exceed_the_memory_are_halved() {
    let test = "cuda::contrast::blocks_that_exceed_the_memory_are_halved";
    emulated_with(test, &[("CUDA_EMULATOR_MEMORY", "64000000")], |gpu| {
        let (local, predictor) = (Local::new([3, 5, 160], 12), predictor(gpu, Precision::F16));
        let (whole, reads) = local.predict(&predictor, [1000; 3]);
        assert_eq!(reads, 1);
        gpu.give_back().unwrap();
        // The words of the cubes' sums take 156 kB for the whole volume; the network's first grid lies where they were, the
        // next two take 122 kB.
        let _others = gpu.buffer(gpu.free_memory().unwrap() as usize - 220_000).unwrap();
        let (found, reads) = local.predict(&predictor, [1000; 3]);
        assert!(reads > 1, "{reads}");
        assert!(found.classes == whole.classes && found.probabilities == whole.probabilities);
    });
}

#[test]
fn default_blocks_have_memory_for_what_their_cubes_reach() {
    let test = "cuda::contrast::default_blocks_have_memory_for_what_their_cubes_reach";
    emulated_with(test, &[("CUDA_EMULATOR_MEMORY", "64000000")], |gpu| {
        let (local, predictor) = (Local::new([1, 2, 480], 16), predictor(gpu, Precision::F16));
        let shape = local.volume.shape();
        // The network takes 116 kB for the whole volume, the words of the cubes' sums 139 kB.
        let _others = gpu.buffer(gpu.free_memory().unwrap() as usize - 135_000).unwrap();
        let reads = |contrast| {
            let block =
                engine::default_block(&on(gpu, Precision::F16), shape, Sampling::STORED, contrast).unwrap();
            let (blocks, reads) = (tiles::blocks(shape, block).len(), local.predict(&predictor, block).1);
            gpu.give_back().unwrap();
            println!("{block:?}: {blocks} blocks, {reads} reads");
            (blocks, reads)
        };
        let (blocks, found) = reads(Some(local.contrast));
        assert!(blocks > 1 && blocks == found);
        // Blocks that leave no memory for it have to be halved and read again.
        let (blocks, found) = reads(None);
        assert!(blocks < found);
    });
}

/// With the emulated driver and variables of its README.
fn segment(sandbox: &Sandbox, options: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = with_emulator(sandbox.command(), CAPABILITIES[1]);
    let line = format!("segment raw.tif --scale 1 --normalize local --precision f32 {options}");
    let output = command.args(line.split_whitespace()).envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line} with {variables:?}: {said}");
    output
}

#[test]
fn a_volume_has_the_cells_of_the_cpu() {
    /// Of probabilities in f32, as in tests/cuda/network.rs.
    const TOLERANCE: f32 = 1e-5;
    if !are_kernels_built() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("raw.tif", synth::sample_with(Parameters::default(), [12, 24, 104], 5).raw.view());
    sandbox
        .succeeds("segment raw.tif -o cpu.tif --scale 1 --normalize local --device cpu --save-probabilities");
    segment(&sandbox, "-o whole.tif --device cuda --save-probabilities", &[]);
    segment(&sandbox, "-o blocks.tif --device cuda --block 8,16,40 --save-probabilities", &[]);
    let two = ("CUDA_EMULATOR_DEVICES", "2");
    segment(&sandbox, "-o two.tif --device cuda:all --block 16,24,40 --save-probabilities", &[two]);
    let [expected, whole, blocks, two] = ["cpu", "whole", "blocks", "two"]
        .map(|name| (sandbox.labels(&format!("{name}.tif")), sandbox.probabilities(name)));
    compare::assert_close(&whole.1, &expected.1, TOLERANCE);
    assert_eq!(whole.0, expected.0);
    assert!(blocks == whole && two == whole);
}
