//! Batch norm, forward and backward, and gradients to biases.
use std::sync::Arc;

use tascan::device::Precision;
use tascan::device::cuda::Gpu;
use tascan::device::cuda::training::batch_norm::{Norm, bias_gradient};
use tascan::network::layout;
use tascan::ops::activations::Activations;
use tascan::ops::batch_norm::{self, Affine, Moments};

use super::super::driver::emulated;
use super::{SHAPES, assert_near, assert_rounded, noisy, parameters, precisions, upload, values, weights};

/// Worst seen: 8e-6, of a single voxel, whose variance is zero.
const TOLERANCE: f32 = 3e-5;

#[test]
fn forward_and_backward_equal_the_cpu() {
    emulated("cuda::training::batch_norm::forward_and_backward_equal_the_cpu", |gpu| {
        for precision in precisions(gpu) {
            for (name, channels) in [("bnorm1", 32), ("bnorm2", 64)] {
                for (n, shape) in SHAPES {
                    forward_and_backward(gpu, precision, name, noisy(precision, n, shape, channels, 1));
                }
            }
        }
    });
}

fn forward_and_backward(gpu: &Arc<Gpu>, precision: Precision, name: &str, mut y: Activations) {
    let (n, shape, channels) = (y.n, y.shape, y.channels);
    let [da, skip] = [2, 3].map(|seed| noisy(precision, n, shape, channels, seed));
    let mut weights = weights();
    let tensor = |kind: &str| layout::range(&format!("{name}.{kind}"));
    let moments = Moments::of(&y);
    let affine = Affine::new(&weights.values[tensor("weight")], &weights.values[tensor("bias")], &moments);

    let parameters = parameters(gpu);
    let send = |grid: &Activations| upload(gpu, precision, grid);
    let on_gpu = send(&y);
    let norm = Norm::of(&parameters, name, &on_gpu).unwrap();
    let mut out = skip.clone();
    out.par_rows_mut(|| (), |(), at, row| affine.relu_accumulate(y.row(at), row));
    let found = norm.relu(&on_gpu, Some(&send(&skip))).unwrap();
    assert_rounded(&format!("{channels} channels forward"), &found, &values(&out), TOLERANCE);

    let mut running = [tensor("running_mean"), tensor("running_var")].map(|at| weights.values[at].to_vec());
    let [mean, variance] = &mut running;
    moments.update_running(mean, variance);
    parameters.download(&mut weights.values).unwrap();
    assert_near("running mean", &weights.values[tensor("running_mean")], &running[0], TOLERANCE);
    assert_near("running variance", &weights.values[tensor("running_var")], &running[1], TOLERANCE);

    let expected = batch_norm::backward(&affine, &moments, &mut y, &da, Some(&skip));
    norm.backward(&parameters, name, &on_gpu, &send(&da), Some(&send(&skip))).unwrap();
    assert_rounded("dy", &on_gpu, &values(&y), TOLERANCE);
    let gradient = |kind: &str| parameters.gradient_of(&format!("{name}.{kind}")).unwrap();
    assert_near("dgamma", &gradient("weight"), &expected.gamma, TOLERANCE);
    assert_near("dbeta", &gradient("bias"), &expected.beta, TOLERANCE);
}

#[test]
fn gradients_to_biases_equal_those_of_the_cpu() {
    emulated("cuda::training::batch_norm::gradients_to_biases_equal_those_of_the_cpu", |gpu| {
        let layers = [("conv6", 3), ("conv2", 32), ("conv3", 64)];
        for (precision, (layer, channels)) in precisions(gpu).flat_map(|p| layers.map(|layer| (p, layer))) {
            // Logits have no other precision.
            let precision = if channels == 3 { Precision::F32 } else { precision };
            for (n, shape) in SHAPES {
                let dy = noisy(precision, n, shape, channels, 4);
                let parameters = parameters(gpu);
                bias_gradient(&parameters, layer, &upload(gpu, precision, &dy)).unwrap();
                let found = parameters.gradient_of(&format!("{layer}.bias")).unwrap();
                assert_near(layer, &found, &batch_norm::bias_gradient(&dy), TOLERANCE);
            }
        }
    });
}
