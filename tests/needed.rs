//! What the decoder's grids are needed for, against the definitions of the layers, voxel by voxel.
use std::ops::Range;

use tascan::network::needed;

/// The input voxels that some output voxels look at, where `looks` says so of an output and an input voxel.
fn looked_at(output: &Range<usize>, extent: usize, looks: impl Fn(usize, usize) -> bool) -> Range<usize> {
    let seen = (0..extent).filter(|input| output.clone().any(|output| looks(output, *input)));
    let seen: Vec<usize> = seen.collect();
    seen[0]..seen[seen.len() - 1] + 1
}

/// At size 3, padding 1.
fn by_window(output: usize, input: usize) -> bool {
    output.abs_diff(input) <= 1
}

/// At size 4, stride 2, padding 1: input voxel i reaches the outputs 2i + k - 1, k in 0..4.
fn by_doubling(output: usize, input: usize) -> bool {
    (0..4).any(|k| 2 * input + k == output + 1)
}

/// All ranges of at least one voxel within `extent`.
fn ranges(extent: usize) -> impl Iterator<Item = Range<usize>> {
    (0..extent).flat_map(move |start| (start + 1..=extent).map(move |end| start..end))
}

#[test]
fn a_layer_looks_at_what_reaches_its_output() {
    for extent in 1..=17_usize {
        for output in ranges(extent) {
            let coarser = extent.div_ceil(2);
            assert_eq!(needed::by_window(&output, extent), looked_at(&output, extent, by_window));
            assert_eq!(needed::by_doubling(&output, coarser), looked_at(&output, coarser, by_doubling));
        }
    }
}

#[test]
fn the_decoder_is_needed_as_far_as_the_layers_behind_look() {
    for extent in [1, 2, 7, 40, 61_usize] {
        let (half, quarter) = (extent.div_ceil(2), extent.div_ceil(4));
        for result in ranges(extent) {
            let u1 = looked_at(&result, extent, by_window);
            let u2 = looked_at(&u1, half, by_doubling);
            let u3 = looked_at(&u2, quarter, by_doubling);
            // The axes are independent of each other.
            for axis in 0..3 {
                let (mut part, mut shape) = ([0..5, 0..5, 0..5], [5; 3]);
                (part[axis], shape[axis]) = (result.clone(), extent);
                let found = needed::of_decoder(&part, shape).map(|grid| grid[axis].clone());
                assert_eq!(found, [u3.clone(), u2.clone(), u1.clone()], "{result:?} of {extent}");
            }
        }
    }
    // A block of 32 with a halo to both sides.
    let [u3, u2, u1] = needed::of_decoder(&[40..72, 0..32, 0..128], [128; 3]);
    assert_eq!(u1, [39..73, 0..33, 0..128]);
    assert_eq!(u2, [19..37, 0..17, 0..64]);
    assert_eq!(u3, [9..19, 0..9, 0..32]);
}
