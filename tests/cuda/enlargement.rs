//! Volumes that the network sees reduced: the kernel that enlarges logits against the CPU, and the way of a volume on one GPU
//! against that by way of the host.
use std::fs;
use std::process::Output;
use std::sync::Arc;

use ndarray::Array3;
use tascan::Shape;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::convolution::Grid;
use tascan::device::cuda::volume::DeviceVolume;
use tascan::device::{Device, Precision};
use tascan::network::prediction::{Prediction, Predictor};
use tascan::ops::cuda::enlargement::Enlargement as OnGpu;
use tascan::ops::cuda::places::{Places, Target};
use tascan::ops::enlargement::Enlargement;
use tascan::ops::softmax;
use tascan::scale::Sampling;
use tascan::synth::{self, Parameters};

use super::driver::{CAPABILITIES, are_kernels_built, emulated, emulated_with, with_emulator};
use super::network::{noise, region};
use crate::cli::sandbox::Sandbox;
use crate::ops::enlargement::logits;
use crate::scale::grid;
use crate::{compare, recipe};

/// Whole and cut-off last boxes, rows of whole and of broken words, a single box, a single voxel, rows of several tiles; boxes of parts
/// of voxels, up to two for a voxel along x.
pub(super) const CASES: [(Shape, &str); 15] = [
    ([4, 6, 64], "1,2,2"),
    ([6, 8, 40], "2,2,2"),
    ([5, 9, 33], "2,2,2"),
    ([7, 3, 51], "3,1,5"),
    ([3, 4, 5], "8,8,8"),
    ([1, 1, 1], "2,2,2"),
    ([2, 3, 301], "1,1,2"),
    ([2, 2, 259], "1,1,1"),
    ([2, 17, 130], "2,3,4"),
    ([5, 9, 131], "2/3,3/2,5/2"),
    ([2, 3, 150], "1/4,1/3,1/2"),
    ([3, 2, 129], "1/2,1/2,1/2"),
    ([2, 3, 301], "1,3/4,2/3"),
    ([1, 2, 200], "4/3,2,4/7"),
    ([1, 1, 1], "1/4,1/4,1/2"),
];

/// All planes of a volume on the CPU: logits, and their classes.
pub(super) fn on_cpu(
    enlargement: &Enlargement,
    logits: &Array3<[f32; 3]>,
    shape: Shape,
) -> (Vec<f32>, Vec<u8>) {
    let voxels: Vec<_> = (0..shape[0]).flat_map(|z| enlargement.plane(logits, z)).collect();
    let classes = voxels.iter().map(|logits| softmax::class(*logits)).collect();
    (voxels.into_flattened(), classes)
}

#[test]
fn voxels_have_the_bits_of_the_cpu() {
    emulated("cuda::enlargement::voxels_have_the_bits_of_the_cpu", |gpu| {
        for (shape, sampling) in CASES.map(|(shape, text)| (shape, grid(text))) {
            let cpu = Enlargement::new(shape, sampling);
            let on_gpu = OnGpu::new(gpu, &cpu).unwrap();
            let whole = DeviceVolume::new(gpu, shape).unwrap();
            let mut lowest = vec![2; whole.voxels()];
            for order in 0..2 {
                let small = logits(sampling.shape(shape), order + 1);
                let (expected, classes) = on_cpu(&cpu, &small, shape);
                lowest.iter_mut().zip(classes).for_each(|(lowest, class)| *lowest = class.min(*lowest));
                let sent = on_gpu.upload(&small).unwrap();
                // Ranges of two planes, so that one begins at any byte of a word.
                let found = (0..shape[0]).step_by(2).flat_map(|first| {
                    let planes = first..(first + 2).min(shape[0]);
                    let alone = Grid::new(gpu, [planes.len(), shape[1], shape[2]], 3, 4).unwrap();
                    let places = Places {
                        alone: Target::Logits(&alone),
                        whole: (Target::Classes(&whole), [first, 0, 0]),
                        keeps_lowest: order > 0,
                    };
                    on_gpu.run(&sent, planes, &places).unwrap();
                    alone.download::<f32>(gpu).unwrap()
                });
                let equal = found.map(f32::to_bits).eq(expected.into_iter().map(f32::to_bits));
                assert!(equal, "logits of {shape:?} by {sampling}");
            }
            let found = whole.download(gpu).unwrap();
            assert!(found.iter().eq(&lowest), "classes of {shape:?} by {sampling}");
        }
    });
}

#[test]
fn a_range_of_planes_may_be_all_that_is_wanted() {
    emulated("cuda::enlargement::a_range_of_planes_may_be_all_that_is_wanted", |gpu| {
        for (shape, sampling) in CASES.map(|(shape, text)| (shape, grid(text))) {
            let cpu = Enlargement::new(shape, sampling);
            let on_gpu = OnGpu::new(gpu, &cpu).unwrap();
            let small = logits(sampling.shape(shape), 3);
            let (expected, classes) = on_cpu(&cpu, &small, shape);
            let sent = on_gpu.upload(&small).unwrap();
            let first = shape[0] / 3;
            let part = [shape[0] - first, shape[1], shape[2]];
            let (alone, whole) =
                (DeviceVolume::new(gpu, part).unwrap(), Grid::new(gpu, shape, 3, 4).unwrap());
            let places = |whole| Places {
                alone: Target::Classes(&alone),
                whole: (Target::Logits(whole), [first, 0, 0]),
                keeps_lowest: false,
            };
            on_gpu.run(&sent, first..shape[0], &places(&whole)).unwrap();
            on_gpu
                .run(
                    &sent,
                    0..first,
                    &Places {
                        alone: Target::None,
                        whole: (Target::Logits(&whole), [0; 3]),
                        keeps_lowest: false,
                    },
                )
                .unwrap();
            let plane = shape[1] * shape[2];
            assert!(
                alone.download(gpu).unwrap().iter().eq(&classes[first * plane..]),
                "{shape:?} by {sampling}"
            );
            assert_eq!(whole.download::<f32>(gpu).unwrap(), expected, "{shape:?} by {sampling}");
        }
    });
}

/// In blocks of voxels of the small grid.
pub(super) fn predict(
    predictor: &Predictor,
    volume: &Array3<f32>,
    shape: Shape,
    sampling: Sampling,
    block: Shape,
) -> Prediction {
    let mut read = |start, shape| Ok(region(volume, start, shape));
    predictor.predict_sampled(shape, sampling, block, &mut read, &mut |_| ()).unwrap()
}

fn predictor(device: &Device, transposes: bool, keep_probabilities: bool) -> Predictor {
    let mut predictor = Predictor::on(device, &recipe::cellsegnet_weights(3), transposes).unwrap();
    predictor.keep_probabilities = keep_probabilities;
    predictor.keep_on_gpu = true;
    predictor
}

#[test]
fn a_gpu_alone_gives_the_bits_of_several_and_keeps_the_classes() {
    let test = "cuda::enlargement::a_gpu_alone_gives_the_bits_of_several_and_keeps_the_classes";
    emulated_with(test, &[("CUDA_EMULATOR_DEVICES", "2")], |gpu: &Arc<Gpu>| {
        let precision = Precision::F16;
        let alone = Device::cuda(gpu.clone(), precision);
        let several = Device::Cuda { gpu: gpu.clone(), others: vec![Gpu::open(1).unwrap()], precision };
        let (shape, sampling) = ([9, 10, 99], grid("3,2,1"));
        let volume = noise(sampling.shape(shape));
        for (transposes, keep_probabilities) in [(false, true), (true, false)] {
            let predictor = |device| predictor(device, transposes, keep_probabilities);
            let expected = predict(&predictor(&several), &volume, shape, sampling, [8, 8, 48]);
            assert!(expected.on_gpu.is_none());
            assert!((0..3).all(|class| expected.classes.iter().any(|found| *found == class)));
            let found = predict(&predictor(&alone), &volume, shape, sampling, [8, 8, 56]);
            assert!(found.classes == expected.classes);
            assert!(found.probabilities == expected.probabilities);
            assert!(found.on_gpu.unwrap().download(gpu).unwrap() == expected.classes);
        }
    });
}

#[test]
fn a_second_volume_takes_no_new_memory() {
    emulated("cuda::enlargement::a_second_volume_takes_no_new_memory", |gpu| {
        let (shape, sampling) = ([5, 6, 160], grid("2,2,2"));
        let volume = noise(sampling.shape(shape));
        let predictor = predictor(&Device::cuda(gpu.clone(), Precision::F16), false, true);
        let counts = [(); 3].map(|()| {
            predict(&predictor, &volume, shape, sampling, [8, 8, 40]);
            gpu.allocations()
        });
        assert_eq!(counts[1], counts[2], "{counts:?}");
    });
}

/// With the emulated driver and variables of its README, on `raw.tif` at scale 2.
fn segment(sandbox: &Sandbox, options: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = with_emulator(sandbox.command(), CAPABILITIES[1]);
    let line = format!("segment raw.tif --scale 2 -v --device cuda --precision f32 {options}");
    let output = command.args(line.split_whitespace()).envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line} with {variables:?}: {said}");
    output
}

/// Whether the profile `report` tells of a kernel.
fn has_launched(report: &str, kernel: &str) -> bool {
    let profile: serde_json::Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    profile.as_object().unwrap().contains_key(kernel)
}

#[test]
fn a_reduced_volume_has_the_cells_of_the_cpu() {
    /// Of probabilities in f32, as in tests/cuda/network.rs.
    const TOLERANCE: f32 = 1e-5;
    if !are_kernels_built() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("raw.tif", synth::sample_with(Parameters::default(), [16, 34, 131], 5).raw.view());
    let report = sandbox.path("report.json");
    let report = ("CUDA_EMULATOR_REPORT", report.to_str().unwrap());
    for options in ["--save-probabilities", "--save-probabilities --tta"] {
        sandbox.succeeds(&format!("segment raw.tif -o cpu.tif --scale 2 --device cpu {options}"));
        let expected = (sandbox.labels("cpu.tif"), sandbox.probabilities("cpu"));
        segment(&sandbox, &format!("-o whole.tif {options}"), &[report]);
        assert!(has_launched(report.1, "enlargement_probabilities"));
        segment(&sandbox, &format!("-o blocks.tif --block 8,24,40 {options}"), &[report]);
        assert!(has_launched(report.1, "enlargement_probabilities"));
        let found = sandbox.probabilities("whole");
        compare::assert_close(&found, &expected.1, TOLERANCE);
        assert!(sandbox.probabilities("blocks") == found, "{options}");
        for name in ["whole.tif", "blocks.tif"] {
            assert_eq!(sandbox.labels(name), expected.0, "{name} {options}");
        }
    }
    // Weights take 5.1 MB, what the network computes on 2 MB, and what would stay of the volume 1 MB.
    let little = segment(&sandbox, "-o little.tif", &[report, ("CUDA_EMULATOR_MEMORY", "7800000")]);
    assert!(String::from_utf8_lossy(&little.stderr).contains("logits are enlarged on the host"));
    assert!(!has_launched(report.1, "enlargement"));
    segment(&sandbox, "-o ample.tif", &[report]);
    assert!(has_launched(report.1, "enlargement"));
    assert_eq!(sandbox.labels("little.tif"), sandbox.labels("ample.tif"));
}
