//! Synthetic tissue: the same bits everywhere, a consistent truth, parameters that do what their names say.
use ndarray::Array3;
use tascan::synth::{self, Sample};

const SHAPE: [usize; 3] = [40, 64, 72];

fn on_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for seed in 1..6 {
        let (one, five) =
            (on_threads(1, || synth::sample(seed, SHAPE)), on_threads(5, || synth::sample(seed, SHAPE)));
        assert_eq!(one.parameters, five.parameters);
        assert!(one.labels == five.labels, "seed {seed}: the labels differ");
        assert!(one.raw == five.raw, "seed {seed}: the grey values differ");
    }
}

/// Number of 6-connected pieces of each label, by flooding.
fn pieces(labels: &Array3<u32>) -> Vec<usize> {
    let mut pieces = vec![0; *labels.iter().max().unwrap() as usize + 1];
    let mut seen = Array3::from_elem(labels.dim(), false);
    for (start, &label) in labels.indexed_iter() {
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        pieces[label as usize] += 1;
        let mut open = vec![start];
        while let Some((z, y, x)) = open.pop() {
            let near = [
                (z.wrapping_sub(1), y, x),
                (z + 1, y, x),
                (z, y.wrapping_sub(1), x),
                (z, y + 1, x),
                (z, y, x.wrapping_sub(1)),
                (z, y, x + 1),
            ];
            for at in near {
                if labels.get(at) == Some(&label) && !std::mem::replace(&mut seen[at], true) {
                    open.push(at);
                }
            }
        }
    }
    pieces
}

#[test]
fn each_cell_is_one_piece_and_no_label_is_missing() {
    for seed in 0..12 {
        let Sample { labels, parameters, .. } = synth::sample(seed, SHAPE);
        let pieces = pieces(&labels);
        assert!(pieces[1..].iter().all(|&n| n == 1), "seed {seed}: {pieces:?} {parameters:?}");
    }
}

#[test]
fn the_demonstration_has_some_150_cells() {
    let Sample { raw, labels, .. } = synth::demo();
    assert_eq!((raw.dim(), labels.dim()), ((96, 160, 160), (96, 160, 160)));
    let cells = labels.iter().max().unwrap();
    assert!((130..=170).contains(cells), "{cells} cells");
}
