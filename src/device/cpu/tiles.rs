//! Sums and differences of rows of voxels, from and to tiles: the transforms of Winograd's algorithm.
//!
//! All coefficients are 1, -1 or a half, so that multiplying by them rounds nothing. Plain loops, as in
//! [`channels`](super::channels).
use multiversion::multiversion;

/// Some floats and what they count.
pub type Weighted<'a> = (&'a [f32], f32);

/// `out = sum of the rows`, of which there are at most four.
///
/// # Panics
/// Where a row is shorter than `out`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn combine(rows: &[Weighted], out: &mut [f32]) {
    match *rows {
        [] => out.fill(0.0),
        [a] => sum_of([a], out),
        [a, b] => sum_of([a, b], out),
        [a, b, c] => sum_of([a, b, c], out),
        [a, b, c, d] => sum_of([a, b, c, d], out),
        _ => panic!("no loop for {} rows", rows.len()),
    }
}

#[inline(always)]
fn sum_of<const N: usize>(rows: [Weighted; N], out: &mut [f32]) {
    let len = out.len();
    let mut cut = rows;
    for row in &mut cut {
        row.0 = &row.0[..len];
    }
    for i in 0..len {
        let mut sum = cut[0].0[i] * cut[0].1;
        for (row, weight) in &cut[1..] {
            sum += row[i] * weight;
        }
        out[i] = sum;
    }
}

/// `out[t][c] = sum of the rows at [t * step + c]`, for every voxel t of `out`; one row or two.
///
/// # Panics
/// Where a row is too short, or there is no loop for so many channels.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn pick(rows: &[Weighted], step: usize, channels: usize, out: &mut [f32]) {
    match (channels, rows) {
        (32, &[a]) => pick_of::<32, 1>([a], step, out),
        (32, &[a, b]) => pick_of::<32, 2>([a, b], step, out),
        (64, &[a]) => pick_of::<64, 1>([a], step, out),
        (64, &[a, b]) => pick_of::<64, 2>([a, b], step, out),
        _ => panic!("no loop for {} rows of {channels} channels", rows.len()),
    }
}

#[inline(always)]
fn pick_of<const C: usize, const N: usize>(rows: [Weighted; N], step: usize, out: &mut [f32]) {
    for (t, out) in out.as_chunks_mut::<C>().0.iter_mut().enumerate() {
        let mut voxels = rows;
        for row in &mut voxels {
            row.0 = &row.0[t * step..t * step + C];
        }
        sum_of(voxels, out);
    }
}

/// `out[t * step + c] += weight * sum of the sources at [t][c]`, for every voxel t of the sources and every `out`.
///
/// # Panics
/// Where an `out` is too short, sources differ in length, or there is no loop for so many channels.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn accumulate(sources: &[Weighted], channels: usize, step: usize, outs: &mut [(&mut [f32], f32)]) {
    match channels {
        32 => accumulate_of::<32>(sources, step, outs),
        64 => accumulate_of::<64>(sources, step, outs),
        _ => panic!("no loop for {channels} channels"),
    }
}

#[inline(always)]
fn accumulate_of<const C: usize>(sources: &[Weighted], step: usize, outs: &mut [(&mut [f32], f32)]) {
    let Some((first, _)) = sources.first() else { return };
    for t in 0..first.len() / C {
        let mut sum = [0.0; C];
        for (source, weight) in sources {
            let source: &[f32; C] = source[t * C..(t + 1) * C].try_into().expect("C floats");
            for c in 0..C {
                sum[c] += source[c] * weight;
            }
        }
        for (out, weight) in outs.iter_mut() {
            let out: &mut [f32; C] = (&mut out[t * step..t * step + C]).try_into().expect("C floats");
            for c in 0..C {
                out[c] += sum[c] * *weight;
            }
        }
    }
}
