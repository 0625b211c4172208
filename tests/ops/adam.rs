//! Adam against the definition in f64, and its independence of the threads.
use tascan::ops::adam::Adam;

use crate::compare::assert_close;

/// PyTorch's definition for one parameter in f64.
fn naive(mut p: f64, gradients: &[f64], rate: f64) -> f64 {
    let (mut m, mut v) = (0.0, 0.0);
    for (i, g) in gradients.iter().enumerate() {
        let t = i as i32 + 1;
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        let (m, v) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
        p -= rate * m / (v.sqrt() + 1e-8);
    }
    p
}

fn gradient(i: usize, step: usize) -> f32 {
    ((i * 37 + step * 101) % 41) as f32 / 41.0 - 0.45
}

fn after_steps(parameters: usize, steps: usize) -> Vec<f32> {
    let mut adam = Adam::new(parameters);
    let mut values: Vec<f32> = (0..parameters).map(|i| (i % 13) as f32 / 13.0).collect();
    for step in 0..steps {
        let gradient: Vec<f32> = (0..parameters).map(|i| gradient(i, step)).collect();
        adam.step(&mut values, &gradient, 1e-2);
    }
    values
}

#[test]
fn ten_steps_equal_the_definition() {
    let expected: Vec<f32> = (0..500)
        .map(|i| {
            let gradients: Vec<f64> = (0..10).map(|step| f64::from(gradient(i, step))).collect();
            naive(f64::from((i % 13) as f32 / 13.0), &gradients, 1e-2) as f32
        })
        .collect();
    // Ten updates of 1e-2: f32 rounding of values near 1 leaves 5e-7.
    assert_close(&after_steps(500, 10), &expected, 1e-6);
}

#[test]
fn nothing_depends_on_the_threads() {
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| after_steps(40_000, 3))
    };
    assert_eq!(with_threads(1), with_threads(5));
}
