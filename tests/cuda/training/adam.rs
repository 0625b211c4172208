//! The optimiser.
use tascan::network::layout;
use tascan::ops::adam::Adam;

use super::super::driver::emulated;
use super::{assert_near, parameters, weights};
use crate::compare::assert_close;
use crate::ops::grids::noise;

#[test]
fn three_steps_equal_those_of_the_cpu() {
    emulated("cuda::training::adam::three_steps_equal_those_of_the_cpu", |gpu| {
        let trainable = layout::trainable_len();
        let (mut expected, mut adam) = (weights().values, Adam::new(trainable));
        let mut parameters = parameters(gpu);
        for step in 0..3 {
            let gradient = noise(trainable, step);
            adam.step(&mut expected[..trainable], &gradient, 1e-3);
            parameters.set_gradient(&gradient).unwrap();
            parameters.step(1e-3).unwrap();
        }
        let mut found = vec![f32::NAN; expected.len()];
        parameters.download(&mut found).unwrap();
        assert_close(&found, &expected, 1e-6);
        let found = parameters.adam().unwrap();
        assert_eq!(found.steps, 3);
        assert_near("m", &found.first, &adam.first, 1e-6);
        assert_near("v", &found.second, &adam.second, 1e-6);
    });
}
