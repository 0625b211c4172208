//! What a step sees depends on the seed and the step alone.
use tascan::train::batches::{Batch, Batches};
use tascan::train::config::{Config, Cuboids, Synthetic};

fn config(shape: [usize; 3]) -> Config {
    Config {
        synthetic: Some(Synthetic { shape, window: 3, uses: 2, ..Synthetic::default() }),
        cuboids: Cuboids { batch: 3, smallest: 10, largest: 14 },
        ..Config::default()
    }
}

fn assert_equal(a: &Batch, b: &Batch) {
    assert_eq!((a.shape, &a.class), (b.shape, &b.class));
    assert!(a.raw.iter().map(|v| v.to_bits()).eq(b.raw.iter().map(|v| v.to_bits())), "grey values differ");
    assert_eq!(a.weight, b.weight);
}

#[test]
fn a_batch_does_not_depend_on_those_before() {
    let config = config([20, 24, 28]);
    let mut from_start = Batches::open(&config).unwrap();
    let all: Vec<Batch> = (0..6).map(|step| from_start.draw(step).unwrap()).collect();
    let mut resumed = Batches::open(&config).unwrap();
    for step in [4, 5, 1] {
        assert_equal(&resumed.draw(step).unwrap(), &all[step as usize]);
    }
    assert!(all.iter().any(|batch| batch.raw != all[0].raw), "every step sees the same");
}

#[test]
fn a_batch_does_not_depend_on_the_threads() {
    let config = config([20, 24, 28]);
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Batches::open(&config).unwrap().draw(2).unwrap())
    };
    assert_equal(&with_threads(1), &with_threads(4));
}

#[test]
fn sides_stay_within_their_bounds() {
    let mut batches = Batches::open(&config([20, 24, 28])).unwrap();
    let mut sides = std::collections::BTreeSet::new();
    for step in 0..12 {
        let batch = batches.draw(step).unwrap();
        assert_eq!(batch.raw.len(), 3 * batch.shape.iter().product::<usize>());
        assert_eq!((batch.class.len(), batch.weight.len()), (batch.raw.len(), batch.raw.len()));
        sides.extend(batch.shape);
    }
    assert_eq!(sides.into_iter().collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
}

#[test]
fn a_thin_volume_gives_thin_cuboids() {
    let mut batches = Batches::open(&config([6, 24, 28])).unwrap();
    for step in 0..8 {
        let shape = batches.draw(step).unwrap().shape;
        assert!(shape.contains(&6), "{shape:?}");
    }
}
