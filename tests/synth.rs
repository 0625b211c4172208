//! Synthetic tissue: the same bits everywhere, a consistent truth, parameters that do what their names say.
use std::path::Path;
use std::process::Command;

use ndarray::Array3;
use tascan::Spacing;
use tascan::io::{self, Role};
use tascan::synth::{self, OutlineKind, Sample, StainParameters, TissueParameters};

use crate::compare::assert_same_partition;

pub const SHAPE: [usize; 3] = [40, 64, 72];

pub fn on_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
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
pub fn pieces(labels: &Array3<u32>) -> Vec<usize> {
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

/// A fixed tissue under the plainest stain: no noise, nothing uneven.
pub fn plain() -> (Array3<u32>, StainParameters) {
    let labels =
        synth::grow(&TissueParameters { outline: OutlineKind::Full, ..Default::default() }, SHAPE, 3);
    let stain = StainParameters {
        thickness_spread: 0.0,
        wall_spread: 0.0,
        mottle: 0.0,
        gaps: 0.0,
        spots: 0.0,
        debris: 0.0,
        nuclei: 0.0,
        texture: 0.0,
        haze_spread: 0.0,
        uneven: 0.0,
        attenuation: 0.0,
        defocus: 0.0,
        scatter: 0.0,
        flicker: 0.0,
        noise: 0.0,
        photons: 1e6,
        smoothing: 0.0,
        saturation: 0.001,
        offset: 0.0,
        bits: 16,
        ..Default::default()
    };
    (labels, stain)
}

/// Whether the voxel, or one of its six neighbours at distance `d`, belongs to another cell.
fn is_near_wall(labels: &Array3<u32>, (z, y, x): (usize, usize, usize), d: usize) -> bool {
    let near = [
        [z.wrapping_sub(d), y, x],
        [z + d, y, x],
        [z, y.wrapping_sub(d), x],
        [z, y + d, x],
        [z, y, x.wrapping_sub(d)],
        [z, y, x + d],
    ];
    near.iter().any(|&at| labels.get(at).is_some_and(|&other| other != labels[[z, y, x]]))
}

/// Mean brightness (0 to 1) of the voxels at walls, and of those with none within four voxels.
fn wall_and_inside(labels: &Array3<u32>, raw: &Array3<f32>) -> (f32, f32) {
    let mean = |wanted: &dyn Fn((usize, usize, usize)) -> bool| {
        let values: Vec<f32> =
            raw.indexed_iter().filter(|(at, _)| wanted(*at)).map(|(_, &v)| v / 65_535.0).collect();
        values.iter().sum::<f32>() / values.len() as f32
    };
    let wall = mean(&|at| is_near_wall(labels, at, 1));
    (wall, mean(&|at| (1..=4).all(|d| !is_near_wall(labels, at, d))))
}

pub fn rendered(change: impl FnOnce(&mut StainParameters)) -> (Array3<u32>, Array3<f32>) {
    let (labels, mut stain) = plain();
    change(&mut stain);
    let raw = synth::render(&labels, &stain, Spacing([0.3, 0.2, 0.2]), 7);
    (labels, raw)
}

/// Standard deviation of the difference between two renderings, in grey values.
pub fn difference(a: &Array3<f32>, b: &Array3<f32>) -> f32 {
    (a - b).std(0.0)
}

#[test]
fn walls_are_brighter_than_insides() {
    let (labels, raw) = rendered(|_| ());
    let (wall, inside) = wall_and_inside(&labels, &raw);
    assert!(wall > 3.0 * inside, "walls {wall}, insides {inside}");
}

#[test]
fn gaps_and_missing_walls_dim_the_walls() {
    let wall = |gaps, missing| {
        let (labels, raw) = rendered(|s| (s.gaps, s.missing) = (gaps, missing));
        wall_and_inside(&labels, &raw).0
    };
    let (whole, some, many) = (wall(0.0, 0.0), wall(0.1, 0.0), wall(0.3, 0.0));
    assert!(whole > 1.03 * some && some > 1.05 * many, "{whole} {some} {many}");
    assert!(whole > 1.05 * wall(0.0, 0.3));
}

#[test]
fn blur_and_thickness_carry_light_into_the_cells() {
    let inside = |blur, thickness| {
        let (labels, raw) = rendered(|s| (s.blur, s.thickness, s.haze) = (blur, thickness, 0.01));
        wall_and_inside(&labels, &raw).1
    };
    let (sharp, soft, thick) = (inside(0.7, 1.0), inside(2.5, 1.0), inside(0.7, 9.0));
    assert!(soft > 2.0 * sharp && thick > 2.0 * sharp, "{sharp} {soft} {thick}");
}

#[test]
fn attenuation_darkens_the_far_planes() {
    let far_over_near = |attenuation| {
        let (_, raw) = rendered(|s| s.attenuation = attenuation);
        let mean = |planes: std::ops::Range<usize>| raw.slice(ndarray::s![planes, .., ..]).mean().unwrap();
        f64::from(mean(30..40)) / f64::from(mean(0..10))
    };
    let (even, weak) = (far_over_near(0.0), far_over_near(1.0));
    // Thirty of forty planes apart: exp(-0.75) of the light is left.
    assert!((weak / even - libm::exp(-0.75)).abs() < 0.03, "{even} {weak}");
    assert!(far_over_near(-1.0) > even);
}

#[test]
fn few_photons_and_a_bad_camera_make_noise() {
    let (_, clean) = rendered(|_| ());
    let noise = |photons, noise| difference(&rendered(|s| (s.photons, s.noise) = (photons, noise)).1, &clean);
    assert!(noise(10.0, 0.0) > 2.0 * noise(100.0, 0.0));
    assert!(noise(1e6, 0.1) > 2.0 * noise(1e6, 0.02));
}

#[test]
fn each_flaw_changes_the_image() {
    let (_, clean) = rendered(|_| ());
    type Flaw = fn(&mut StainParameters);
    let flaws: [(&str, Flaw); 22] = [
        ("separation", |s| s.separation = 3.0),
        ("wall_spread", |s| s.wall_spread = 0.5),
        ("cell_spread", |s| s.cell_spread = 0.7),
        ("vertices", |s| s.vertices = 1.5),
        ("mottle", |s| s.mottle = 0.5),
        ("thickness_spread", |s| s.thickness_spread = 0.6),
        ("nuclei", |s| (s.nuclei, s.nuclei_share) = (0.5, 1.0)),
        ("nucleus_rim", |s| (s.nucleus_rim, s.nuclei_share) = (0.8, 1.0)),
        ("spots", |s| s.spots = 0.5),
        ("blobs", |s| s.blobs = 30.0),
        ("patches", |s| (s.patches, s.haze) = (0.8, 0.3)),
        ("texture", |s| (s.texture, s.haze) = (0.8, 0.3)),
        ("uneven", |s| s.uneven = 0.5),
        ("defocus", |s| s.defocus = 0.6),
        ("scatter", |s| s.scatter = 0.3),
        ("crosstalk", |s| s.crosstalk = 0.5),
        ("stripes", |s| s.stripes = 0.2),
        ("sideways", |s| s.sideways = 1.0),
        ("plane_step", |s| s.plane_step = 2.3),
        ("pixel_step", |s| s.pixel_step = 2.3),
        ("hot", |s| s.hot = 0.005),
        ("smoothing", |s| s.smoothing = 1.2),
    ];
    for (name, flaw) in flaws {
        let change = difference(&rendered(flaw).1, &clean);
        assert!(change > 400.0, "{name} changes the grey values by {change}");
    }
}

#[test]
fn more_cells_where_they_are_smaller() {
    let count = |diameter| {
        let tissue =
            TissueParameters { diameter, outline: OutlineKind::Full, division: 0.0, ..Default::default() };
        f64::from(*synth::grow(&tissue, SHAPE, 5).iter().max().unwrap())
    };
    // Eight times as many in the bulk; cells cut by the volume's faces count too, which favours large ones.
    let ratio = count(10.0) / count(20.0);
    assert!((3.5..8.0).contains(&ratio), "{ratio}");
}

/// Runs `tascan synthesize`; stderr where it fails.
pub fn synthesize(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tascan"));
    let done = command.arg("synthesize").arg("-o").arg(folder).args(arguments).output().unwrap();
    let message = String::from_utf8(done.stderr).unwrap();
    if done.status.success() { Ok(()) } else { Err(message) }
}

/// Grey values, truth and manifest of the volume with seed 9.
pub fn files(folder: &Path) -> [Vec<u8>; 3] {
    ["synthetic_9_raw.tif", "synthetic_9_labels.tif", "synthetic_9.json"]
        .map(|f| std::fs::read(folder.join(f)).unwrap())
}

#[test]
fn the_manifest_renders_the_same_files_again() {
    let folder = tempfile::tempdir().unwrap();
    let (first, again) = (folder.path().join("first"), folder.path().join("again"));
    let changes = ["--gaps", "0.1", "--attenuation", "-0.7", "--cells", "30", "--outline", "slab"];
    synthesize(&first, &[&["--seed", "9", "--shape", "20,48,40"], &changes[..]].concat()).unwrap();
    synthesize(&again, &["--manifest", first.join("synthetic_9.json").to_str().unwrap()]).unwrap();
    assert!(files(&first) == files(&again));
    let text = std::fs::read_to_string(first.join("synthetic_9.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["parameters"]["stain"]["gaps"], serde_json::json!(0.1));
    assert_eq!(manifest["parameters"]["tissue"]["outline"], "slab");
}

#[test]
fn the_command_writes_what_the_library_samples() {
    let folder = tempfile::tempdir().unwrap();
    synthesize(folder.path(), &["--seed", "8", "--count", "2", "--shape", "24,40,32"]).unwrap();
    let sample = synth::sample(9, [24, 40, 32]);
    let raw = io::open(&folder.path().join("synthetic_9_raw.tif"), Role::Raw).unwrap();
    let labels = io::open(&folder.path().join("synthetic_9_labels.tif"), Role::Labels).unwrap();
    assert_eq!(raw.to_f32(), sample.raw);
    assert_eq!(labels.to_labels().unwrap(), sample.labels);
    let (Spacing(found), Spacing(expected)) = (raw.spacing().unwrap(), sample.spacing);
    assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6 * e));
}

#[test]
fn cells_of_a_label_volume_are_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let mut labels = synth::sample(4, [16, 32, 32]).labels;
    labels.mapv_inplace(|l| if l == 0 { 0 } else { 70_000 - 3 * l });
    let input = folder.path().join("cells.tif");
    io::write_labels(&input, labels.view(), Some(Spacing([0.5, 0.25, 0.25]))).unwrap();
    synthesize(folder.path(), &["--labels", input.to_str().unwrap(), "--seed", "9"]).unwrap();
    let truth = io::open(&folder.path().join("synthetic_9_labels.tif"), Role::Labels).unwrap();
    assert_same_partition(truth.to_labels().unwrap().as_slice().unwrap(), labels.as_slice().unwrap());
    assert_eq!(truth.spacing(), Some(Spacing([0.5, 0.25, 0.25])));
    let first = files(folder.path());
    let manifest = folder.path().join("synthetic_9.json");
    synthesize(&folder.path().join("again"), &["--manifest", manifest.to_str().unwrap()]).unwrap();
    assert!(files(&folder.path().join("again")) == first);
}

#[test]
fn bad_requests_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (unknown, outside) =
        (file("a.toml", "[stain]\nblurr = 1.0"), file("b.toml", "[tissue]\ndiameter = -3.0"));
    let empty = folder.path().join("empty.tif");
    io::write_labels(&empty, Array3::zeros((4, 4, 4)).view(), None).unwrap();
    let cases: [(&[&str], &str); 9] = [
        (&["--shape", "10,10"], "three"),
        (&["--shape", "0,10,10"], "0 x 10 x 10"),
        (&["--shape", "4000000000,4000000000,4000000000"], "can be rendered"),
        (&["--config", &unknown], "blurr"),
        (&["--config", &outside], "tissue.diameter"),
        (&["--config", "missing.toml"], "missing.toml"),
        (&["--blur", "NaN"], "stain.blur"),
        (&["--labels", empty.to_str().unwrap()], "background alone"),
        (&["--labels", "missing.tif"], "missing.tif"),
    ];
    for (arguments, expected) in cases {
        let output = folder.path().join("output");
        let message = synthesize(&output, arguments).expect_err(&format!("{arguments:?} was accepted"));
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(
            std::fs::read_dir(&output).map_or(0, |entries| entries.count()) == 0,
            "{arguments:?} left files"
        );
    }
}

#[test]
fn the_input_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("synthetic_9_labels.tif");
    io::write_labels(&input, Array3::from_elem((4, 4, 4), 5).view(), None).unwrap();
    let before = std::fs::read(&input).unwrap();
    let message =
        synthesize(folder.path(), &["--seed", "9", "--labels", input.to_str().unwrap()]).unwrap_err();
    assert!(message.contains("synthetic_9_labels.tif"), "{message}");
    assert_eq!(std::fs::read(&input).unwrap(), before);
}
