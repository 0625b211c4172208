//! The only place where numbers are compared with a tolerance.

/// Panics unless every element of `actual` is within `tolerance` of `expected` (absolute). NaN never passes.
#[track_caller]
pub fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len(), "lengths differ");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "element {i}: {a} instead of {e}, tolerance {tolerance}");
    }
}

/// Panics unless the two labellings are equal up to renaming (0 stays 0).
#[track_caller]
pub fn assert_same_partition(actual: &[u32], expected: &[u32]) {
    assert_eq!(actual.len(), expected.len(), "lengths differ");
    let mut forth = std::collections::HashMap::from([(0, 0)]);
    let mut back = std::collections::HashMap::from([(0, 0)]);
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        let (f, b) = (*forth.entry(a).or_insert(e), *back.entry(e).or_insert(a));
        assert!(f == e && b == a, "voxel {i}: label {a} stands for {f} and for {e}");
    }
}

/// Panics unless `actual` is within `tolerance` of `expected` (absolute). NaN never passes.
#[track_caller]
pub fn assert_close_f64(actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{actual} instead of {expected}, tolerance {tolerance}");
}

/// Panics unless `actual` is within `tolerance * |expected|` of `expected`. NaN never passes.
#[track_caller]
pub fn assert_relative(actual: f64, expected: f64, tolerance: f64) {
    let difference = (actual - expected).abs();
    assert!(difference <= tolerance * expected.abs(), "{actual} instead of {expected}, relative {tolerance}");
}
