//! Kernels at the points of Winograd's algorithm.
use rayon::prelude::*;

use super::form::Form;
use crate::device::cpu::gather::BLOCK;
use crate::ops::blocks::{coordinates, linear};
use crate::ops::correlation::{Element, pack as pack_plain, positions};

/// What one point adds to one phase of the output.
#[derive(Clone)]
pub(super) struct Product {
    /// The phase of the output.
    pub(super) output: usize,
    /// The phases of the input.
    pub(super) inputs: Vec<usize>,
    /// `[cout / 32][inputs][cin][32]`
    pub(super) weights: Vec<f32>,
}

/// The products of every point, from the kernel element by element.
pub(super) fn pack(
    form: &Form,
    [cout, cin]: [usize; 2],
    weight: impl Fn(Element) -> f32,
) -> Vec<Vec<Product>> {
    let size = form.size;
    let plain: Vec<Vec<f32>> =
        positions([size; 3]).map(|k| pack_plain(cout, cin, [1; 3], |(o, i, _)| weight((o, i, k)))).collect();
    let of_position = |k: [usize; 3]| &plain[linear(k, [size; 3])];
    (0..form.points())
        .into_par_iter()
        .map(|point| {
            let point = coordinates(point, [form.algorithm.points; 3]);
            let outputs = 0..form.outputs();
            outputs.filter_map(|output| product(form, point, output, cin, of_position)).collect()
        })
        .collect()
}

/// `None` where the product is zero for every kernel.
fn product<'a>(
    form: &Form,
    point: [usize; 3],
    output: usize,
    cin: usize,
    plain: impl Fn([usize; 3]) -> &'a Vec<f32>,
) -> Option<Product> {
    // Either side alone is split: the other one's only phase has number 0.
    let sums = (0..form.inputs()).filter_map(|input| {
        let elements = form.elements(point, input + output);
        (!elements.is_empty()).then(|| {
            let mut sum = vec![0.0; plain([0; 3]).len()];
            for (position, weight) in elements {
                sum.iter_mut().zip(plain(position)).for_each(|(sum, w)| *sum += weight * w);
            }
            (input, sum)
        })
    });
    let (inputs, sums): (Vec<usize>, Vec<Vec<f32>>) = sums.unzip();
    let blocks = sums.first()?.len() / (cin * BLOCK);
    let block = cin * BLOCK;
    let weights = (0..blocks).flat_map(|b| sums.iter().flat_map(move |sum| &sum[b * block..(b + 1) * block]));
    Some(Product { output, weights: weights.copied().collect(), inputs })
}
