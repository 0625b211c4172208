//! What nvcc makes of `data/samples.cu`, against naive sums in double precision.

use crate::harness::{Buffer, launch, line, words};

const SM_75: &str = include_str!("../data/samples_75.ptx");
const SM_80: &str = include_str!("../data/samples_80.ptx");

/// Numbers in [-1, 1).
fn numbers(seed: u32, count: usize) -> Vec<f32> {
    words(seed, count + 32)[32..].iter().map(|w| (*w >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

#[test]
fn tiled_product() {
    let (m, n, k) = (37, 50, 41);
    let (a, b) = (numbers(1, m * k), numbers(2, k * n));
    for ptx in [SM_75, SM_80] {
        let (da, db, out) = (Buffer::f32s(&a), Buffer::f32s(&b), Buffer::empty(4 * m * n));
        let sizes = [m, n, k].map(|size| (size as u32).into());
        let args = [(&da).into(), (&db).into(), (&out).into()].into_iter().chain(sizes).collect::<Vec<_>>();
        let counts = launch(ptx, "tiled", ([4, 3, 1], [16, 16, 1], 0), &args).unwrap();
        // Every thread multiplies over all tiles of 16, padding included.
        assert_eq!(counts.multiply_adds[0], 12 * 256 * 48);
        for (at, found) in out.read_f32s().into_iter().enumerate() {
            let (row, col) = (at / n, at % n);
            let want: f64 = (0..k).map(|x| f64::from(a[row * k + x]) * f64::from(b[x * n + col])).sum();
            assert!((f64::from(found) - want).abs() <= 1e-5, "({row},{col}): {found} not {want}");
        }
    }
}

#[test]
fn reduction_by_shuffles() {
    let x = numbers(3, 10_000);
    for ptx in [SM_75, SM_80] {
        let (dx, out) = (Buffer::f32s(&x), Buffer::empty(16));
        launch(ptx, "reduce", line(4, 256), &[(&dx).into(), (&out).into(), 10_000.into()]).unwrap();
        let found: f64 = out.read_f32s().into_iter().map(f64::from).sum();
        let want: f64 = x.iter().map(|x| f64::from(*x)).sum();
        assert!((found - want).abs() <= 1e-3, "{found} not {want}");
    }
}

#[test]
fn histogram_by_atomics() {
    let x: Vec<u8> = words(4, 5000).into_iter().map(|w| (w >> 11) as u8).collect();
    let mut want = [0; 256];
    x.iter().for_each(|x| want[usize::from(*x)] += 1);
    for ptx in [SM_75, SM_80] {
        let (dx, bins) = (Buffer::of(&x), Buffer::u32s(&[0; 256]));
        launch(ptx, "histogram", line(6, 128), &[(&dx).into(), (&bins).into(), 5000.into()]).unwrap();
        assert_eq!(bins.read_u32s(), want);
    }
}

#[test]
fn library_functions() {
    let x = numbers(5, 1000).into_iter().map(|x| 4.0 * x).collect::<Vec<_>>();
    for ptx in [SM_75, SM_80] {
        let (dx, out) = (Buffer::f32s(&x), Buffer::empty(4000));
        launch(ptx, "functions", line(8, 128), &[(&dx).into(), (&out).into(), 1000.into()]).unwrap();
        for (x, found) in x.iter().map(|x| f64::from(*x)).zip(out.read_f32s()) {
            // The pair holds h^2 + h and h^2 - h for h near x: their difference is 2h, rounded in halves.
            let want = x.exp().ln_1p() / (1.0 + x.abs().sqrt()) + x.sin() * x.exp2() + 2.0 * x;
            assert!((f64::from(found) - want).abs() <= 0.03, "{x}: {found} not {want}");
        }
    }
}

#[test]
fn pipeline_of_copies_and_tensor_cores() {
    let (m, n, k) = (128, 64, 96);
    // Multiples of 1/8 up to 2 are halves: sign, exponent and fraction of j / 8.
    let half = |j: u32| -> (u16, f64) {
        let value = f64::from(j % 16) / 8.0;
        let bits =
            if value == 0.0 { 0 } else { ((value as f32).to_bits() >> 13) as u16 - ((127 - 15) << 10) };
        (bits, value)
    };
    let fill =
        |seed, count| words(seed, count).into_iter().map(|w| half(w >> 9)).unzip::<_, _, Vec<_>, Vec<_>>();
    let ((a_bits, a), (b_bits, b)) = (fill(6, m * k), fill(7, n * k));
    let (da, db, out) = (Buffer::u16s(&a_bits), Buffer::u16s(&b_bits), Buffer::empty(4 * m * n));
    let sizes = [m, n, k].map(|size| (size as u32).into());
    let args = [(&da).into(), (&db).into(), (&out).into()].into_iter().chain(sizes).collect::<Vec<_>>();
    let counts = launch(SM_80, "pipeline", ([1, 2, 1], [128, 1, 1], 0), &args).unwrap();
    assert_eq!(counts.multiply_adds[3], (m * n * k) as u64);
    for (at, found) in out.read_f32s().into_iter().enumerate() {
        let (row, col) = (at / n, at % n);
        let want: f64 = (0..k).map(|x| a[row * k + x] * b[col * k + x]).sum();
        // Products are multiples of 1/64 below 4: the sums are exact in singles.
        assert_eq!(f64::from(found), want, "({row},{col})");
    }
}

#[test]
fn pipeline_without_its_wait_is_caught() {
    let broken = SM_80.replace("cp.async.wait_group 1;", "");
    let (da, db, out) =
        (Buffer::u16s(&[0; 64 * 64]), Buffer::u16s(&[0; 64 * 64]), Buffer::empty(4 * 64 * 64));
    let args = [(&da).into(), (&db).into(), (&out).into(), 64.into(), 64.into(), 64.into()];
    let report = launch(&broken, "pipeline", line(1, 128), &args).expect_err("nobody waits");
    assert_eq!(report.kind, cuda::check::Kind::UnwaitedCopy);
    assert!(report.instruction.starts_with("ldmatrix"), "{report}");
}
