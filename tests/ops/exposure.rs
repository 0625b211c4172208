//! Exposures against plain loops.
use ndarray::s;
use proptest::prelude::*;
use tascan::ops::exposure::exposures;

use super::small_volumes::{classes, stepped, steps_6, volumes, voxels};

proptest! {
    #[test]
    fn count_faces(classes in classes(7), mut labels in volumes(7, 0..6u32)) {
        let shape = [0, 1, 2].map(|axis| classes.shape()[axis].min(labels.shape()[axis]));
        let [z, y, x] = shape;
        let classes = classes.slice(s![..z, ..y, ..x]);
        let mut labels = labels.slice_mut(s![..z, ..y, ..x]);
        labels.zip_mut_with(&classes, |label, class| *label *= u32::from(*class == 2));
        let mut expected = [0i64; 6];
        for at in voxels(shape).filter(|at| labels[*at] > 0) {
            for next in steps_6().filter_map(|step| stepped(at, step, shape)) {
                expected[labels[at] as usize] += [1, -1, 0][classes[next] as usize];
            }
        }
        prop_assert_eq!(exposures(labels.view(), classes, 5), &expected[1..]);
    }
}
