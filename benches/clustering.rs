//! The second stage and the scores, on a tissue of 1500 cells in 160 x 331 x 181 voxels.
use std::hint::black_box;
use std::sync::LazyLock;

use ndarray::Array3;
use tascan::Shape;
use tascan::cells::{FOREGROUND, Options, label_cells};
use tascan::metrics::{self, Scores};
use tascan::ops::distance::Metric;
use tascan::ops::{
    basins, contacts, distance, erosion, exposure, flood, nearest_cell, peaks, pockets, regions, relabel,
    saddles, shells,
};
use tascan::synth::{self, Parameters};
use tascan::train::masks::Masks;

use crate::harness::{Harness, Name, Work};

const SHAPE: Shape = [160, 331, 181];
const CELLS: u32 = 1500;
const VOXELS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];

/// What the operations work on, made once.
struct Tissue {
    truth: Array3<u32>,
    classes: Array3<u8>,
    core: Array3<u8>,
    squared: Array3<u32>,
    labels: Array3<u32>,
    count: u32,
}

static TISSUE: LazyLock<Tissue> = LazyLock::new(|| {
    let mut parameters = Parameters::default();
    parameters.tissue.diameter = synth::diameter_for(&parameters.tissue, SHAPE, CELLS);
    let truth = synth::sample_with(parameters, SHAPE, 1).labels;
    let classes = Masks::default().targets(truth.view()).class;
    let squared = distance::squared(classes.view(), FOREGROUND, &Metric::ISOTROPIC);
    let basins::Basins { labels, peaks } = ascend(&squared);
    let core = erosion::erode(classes.view(), FOREGROUND);
    Tissue { truth, classes, core, squared, labels, count: peaks.len() as u32 }
});

fn ascend(squared: &Array3<u32>) -> basins::Basins {
    basins::ascend(squared.view(), Options::default().block).expect("short distances")
}

/// Measures `run` on the tissue.
fn row(
    harness: &mut Harness,
    operation: &str,
    dtype: &str,
    cost: fn(usize) -> (usize, usize),
    run: impl Fn(&Tissue),
) {
    let (operations, bytes) = cost(VOXELS);
    let work = Work { operations: operations as f64, bytes: bytes as f64 };
    let name = Name { operation, shape: "160x331x181", dtype };
    harness.row(name, work, || &*TISSUE, |tissue| run(tissue));
}

/// All rows of this file.
pub fn rows(harness: &mut Harness) {
    operation_rows(harness);
    authors_rows(harness);
    // Every voxel is read and written at least once.
    row(
        harness,
        "second stage",
        "u8",
        |voxels| (voxels, 5 * voxels),
        |t| {
            black_box(label_cells(t.classes.view(), None, &Options::default()).expect("a tissue"));
        },
    );
    row(
        harness,
        "evaluate",
        "u32",
        |voxels| (voxels, 8 * voxels),
        |t| {
            let options = metrics::Options::default();
            black_box(Scores::compare(t.labels.view(), t.truth.view(), &options).expect("a tissue"));
        },
    );
}

fn operation_rows(harness: &mut Harness) {
    row(harness, "erosion", "u8", erosion::cost, |t| {
        black_box(erosion::erode(t.classes.view(), FOREGROUND));
    });
    row(harness, "pockets", "u8", pockets::cost, |t| {
        black_box(pockets::fill(t.classes.view()));
    });
    row(harness, "distance", "u32", distance::cost, |t| {
        black_box(distance::squared(t.classes.view(), FOREGROUND, &Metric::ISOTROPIC));
    });
    row(harness, "basins", "u32", basins::cost, |t| {
        black_box(ascend(&t.squared));
    });
    row(harness, "saddles", "u32", saddles::cost, |t| {
        black_box(saddles::saddles(t.labels.view(), t.squared.view()));
    });
    row(harness, "regions", "u32", regions::cost, |t| {
        black_box(regions::regions(t.labels.view(), t.count));
    });
    row(harness, "contacts", "u32", contacts::cost, |t| {
        black_box(contacts::contacts(t.labels.view(), Some(t.core.view()), t.count));
    });
    row(harness, "exposure", "u32", exposure::cost, |t| {
        black_box(exposure::exposures(t.labels.view(), t.classes.view(), t.count));
    });
    let (operations, bytes) = relabel::cost(VOXELS);
    harness.row(
        Name { operation: "relabel", shape: "160x331x181", dtype: "u32" },
        Work { operations: operations as f64, bytes: bytes as f64 },
        || (TISSUE.labels.clone(), (0..=TISSUE.count).collect::<Vec<u32>>()),
        |(labels, table)| relabel::relabel(labels.view_mut(), table),
    );
    // Includes a copy of the labels, which are filled in place.
    row(harness, "nearest_cell", "u32", nearest_cell::cost, |t| {
        let mut labels = t.labels.clone();
        nearest_cell::fill(labels.view_mut(), t.classes.view(), &Metric::ISOTROPIC);
        black_box(labels);
    });
}

/// What only the comparison with the authors' code uses.
fn authors_rows(harness: &mut Harness) {
    row(harness, "peaks", "u32", peaks::cost, |t| {
        black_box(peaks::spaced(t.squared.view()));
    });
    row(harness, "flood", "u32", flood::cost, |t| {
        let markers = peaks::spaced(t.squared.view());
        black_box(flood::flood(t.squared.view(), &markers).expect("few markers"));
    });
    row(harness, "shells", "u32", shells::cost, |t| {
        black_box(shells::shells(t.labels.view(), Some(t.core.view()), t.count));
    });
}
