//! Tables with an entry for each label, filled row by row.
use rayon::prelude::*;

/// The entries of labels 1 to `count`, that of label n at n - 1: `add_row` adds row `z`, `y` to them, `with` joins two
/// entries of one label, in any order.
pub(super) fn of_labels<T: Copy + Send + Sync>(
    [depth, height]: [usize; 2],
    count: u32,
    none: T,
    add_row: impl Fn([usize; 2], &mut [T]) + Sync,
    with: impl Fn(T, T) -> T + Sync + Send,
) -> Vec<T> {
    let nothing = || vec![none; count as usize];
    // A slab for each thread, as each needs a table of all labels.
    let slab = depth.div_ceil(rayon::current_num_threads()).max(1);
    let of_slab = |start: usize| {
        let mut entries = nothing();
        for z in start..(start + slab).min(depth) {
            (0..height).for_each(|y| add_row([z, y], &mut entries));
        }
        entries
    };
    (0..depth)
        .into_par_iter()
        .step_by(slab)
        .map(of_slab)
        .reduce_with(|a, b| a.into_iter().zip(b).map(|(a, b)| with(a, b)).collect())
        .unwrap_or_else(nothing)
}
