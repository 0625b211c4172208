//! From a volume to its cells, against the authors' whole pipeline with the same weights.
use ndarray::{Array3, Ix3, Zip};
use tascan::cells::Options;
use tascan::intensity::Normalization;
use tascan::metrics::matching::Matching;
use tascan::metrics::{self, Scores};
use tascan::pipeline::{self, Model, Segmentation};
use tascan::{Spacing, Volume};

use crate::oracle;

struct Reference {
    raw: Array3<u8>,
    truth: Array3<u32>,
    classes: Array3<u8>,
    labels: Array3<u32>,
    model: Model,
}

/// The authors' run on 64^3 voxels, in crops of 32^3 and four axis orders.
fn reference() -> Option<Reference> {
    let file = oracle::shared("oracle/stage2/e2e_s64_trained.npz")?;
    let model = Model::load(&oracle::shared("oracle/net/cellsegnet_trained.pkl")?).unwrap();
    let bytes = |name| oracle::array::<u8>(&file, name).into_dimensionality::<Ix3>().unwrap();
    let labels =
        |name| oracle::array::<u16>(&file, name).into_dimensionality::<Ix3>().unwrap().mapv(u32::from);
    let classes = Zip::from(&bytes("background")).and(&bytes("boundary")).map_collect(
        |&background, &boundary| match (background, boundary) {
            (1, _) => 0,
            (_, 1) => 1,
            _ => 2,
        },
    );
    Some(Reference { raw: bytes("raw"), truth: labels("gt"), classes, labels: labels("final"), model })
}

fn segment(reference: &Reference, options: &pipeline::Options) -> Segmentation {
    let volume = Volume::from_array(reference.raw.clone(), None);
    pipeline::segment(&volume, &reference.model, options, &mut ()).unwrap()
}

fn mean_best_iou(labels: &Array3<u32>, truth: &Array3<u32>) -> f64 {
    let options = metrics::Options { matching: Matching::BestIou, ..Default::default() };
    Scores::compare(labels.view(), truth.view(), &options).unwrap().mean_ji
}

#[test]
fn the_authors_checkpoint_states_no_normalisation_and_gets_none() {
    let Some(reference) = reference() else { return };
    assert_eq!(reference.model.normalization, Normalization::None);
}

#[test]
fn whole_pipeline_agrees_with_the_authors_and_finds_the_cells_better() {
    let Some(reference) = reference() else { return };
    let options = pipeline::Options { transposes: true, ..Default::default() };
    let found = segment(&reference, &options);
    let same = Zip::from(&found.prediction.classes)
        .and(&reference.classes)
        .fold(0, |same, a, b| same + usize::from(a == b));
    let agreement = same as f64 / reference.classes.len() as f64;
    // Their crops of 32^3 see less than the network's receptive field: 0.991.
    assert!(agreement > 0.98, "classes agree in {agreement} of the voxels");
    let [ours, theirs] =
        [&found.cells.labels, &reference.labels].map(|labels| mean_best_iou(labels, &reference.truth));
    assert!(ours >= theirs, "mean best IoU {ours}, the authors' {theirs}");
}

#[test]
fn blocks_and_kept_results_change_nothing() {
    let Some(reference) = reference() else { return };
    let whole = segment(&reference, &pipeline::Options::default());
    let options = pipeline::Options {
        block: Some([16, 24, 40]),
        keep_probabilities: true,
        cells: Options { keep_supervoxels: true, block: [9, 20, 33], ..Default::default() },
        ..Default::default()
    };
    let blocks = segment(&reference, &options);
    assert_eq!(whole.prediction.classes, blocks.prediction.classes);
    assert_eq!(whole.cells.labels, blocks.cells.labels);
    assert!(whole.prediction.probabilities.is_none() && whole.cells.supervoxels.is_none());
    assert!(blocks.prediction.probabilities.is_some() && blocks.cells.supervoxels.is_some());
}

#[test]
fn embedded_model_is_complete_and_finds_cells_whatever_the_grey_values_are() {
    let model = Model::embedded().unwrap();
    let raw = tascan::synth::sample_with(Default::default(), [24, 48, 56], 3).raw;
    let count = |raw: Array3<f32>| {
        let volume = Volume::from_array(raw, Some(Spacing([0.3, 0.2, 0.2])));
        pipeline::segment(&volume, &model, &Default::default(), &mut ()).unwrap().cells.count
    };
    let cells = count(raw.clone());
    assert!(cells > 1, "{cells} cells");
    // Powers of two lose no bit.
    assert_eq!(cells, count(raw.mapv(|x| x * 256.0)));
    assert_eq!(cells, count(raw.mapv(|x| x / 1024.0)));
}
