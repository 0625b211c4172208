//! Classes and weights against the authors'.
use ndarray::{Array3, Ix3};
use tascan::train::masks::Masks;

use crate::compare::assert_close;
use crate::oracle;

fn labels() -> Option<Array3<u32>> {
    let file = oracle::shared("oracle/train/weights_s64.npz")?;
    Some(oracle::array::<u16>(&file, "gt").mapv(u32::from).into_dimensionality::<Ix3>().unwrap())
}

/// Compares classes exactly, and foreground weights, with the authors' three maps in `file`.
fn assert_targets(masks: &Masks, file: &str) {
    let (Some(labels), Some(file)) = (labels(), oracle::shared(file)) else { return };
    let targets = masks.targets(labels.view());
    let boundary = oracle::array::<u8>(&file, "boundary");
    let foreground = oracle::array::<f32>(&file, "foreground");
    let class = |(&boundary, &foreground): (&u8, &f32)| boundary + 2 * u8::from(foreground > 0.0);
    let expected: Vec<u8> = boundary.iter().zip(&foreground).map(class).collect();
    assert_eq!(targets.class.as_slice().unwrap(), expected);

    let weights = targets.weight.iter().zip(&targets.class);
    let weights: Vec<f32> = weights.map(|(&w, &class)| if class == 2 { w } else { 0.0 }).collect();
    assert_close(&weights, &foreground.iter().copied().collect::<Vec<f32>>(), 1e-6);
}

#[test]
fn targets_equal_the_authors() {
    assert_targets(&Masks::default(), "oracle/train/weights_s64.npz");
    let width = |membrane_width| Masks { membrane_width, ..Masks::default() };
    assert_targets(&width(1.0), "oracle/train/masks_s64_width1.0.npz");
    assert_targets(&width(2.5), "oracle/train/masks_s64_width2.5.npz");
}

#[test]
fn membrane_weights_equal_the_authors() {
    let (Some(labels), Some(file)) = (labels(), oracle::shared("oracle/train/weights_s64.npz")) else {
        return;
    };
    let targets = Masks { membrane_importance: 3.0, ..Masks::default() }.targets(labels.view());
    let maps = ["background", "boundary", "foreground"].map(|class| {
        oracle::array::<f32>(&file, &format!("weights_{class}_imp3")).iter().copied().collect::<Vec<f32>>()
    });
    let own = targets.class.iter().enumerate().map(|(k, &class)| maps[usize::from(class)][k]);
    assert_close(targets.weight.as_slice().unwrap(), &own.collect::<Vec<f32>>(), 1e-6);
}
