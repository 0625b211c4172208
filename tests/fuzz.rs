//! Fuzzing of every parser: small files of all kinds are damaged at random and opened. Any answer will do but a panic, an
//! allocation that the file cannot justify, or none within ten seconds.
//!
//! Runs for [`SECONDS`] in all; `TASCAN_FUZZ_SECONDS=36000 cargo test --release --test fuzz` runs for hours. The seed is
//! printed, `TASCAN_FUZZ_SEED` sets it. A file that fails is kept in `target/fuzz`, as `PARSER-now` if the program ended.
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use tascan::io::{self, Pick, Role, Selection};
use tascan::pipeline::Model;
use tascan::train::config::Config;

/// How long all parsers together are fuzzed.
const SECONDS: u64 = 60;

/// A mapped page of a compressed file may become this many times its bytes, as the readers allow.
const EXPANSION: usize = 4096;
/// What a parser may ask for at once whatever the file.
const BASE: usize = 64 << 20;

/// Refuses what is larger than the file under test can justify, as a machine would whose memory is full.
struct Guarded;

static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static EXCEEDED: AtomicBool = AtomicBool::new(false);
/// One file is under test at a time: the limit is the whole program's.
static TURN: Mutex<()> = Mutex::new(());

// SAFETY: every call goes to the system's allocator as it came, or gives null, which stands for a failed allocation.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LIMIT.load(Ordering::Relaxed) {
            EXCEEDED.store(true, Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise about `layout`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Guarded = Guarded;

/// A parser and the endings of the files that it reads.
struct Target {
    name: &'static str,
    endings: &'static [&'static str],
    parse: fn(&Path),
}

const TARGETS: &[Target] = &[
    Target { name: "tiff", endings: &["tif"], parse: volumes },
    Target { name: "hdf5", endings: &["h5", "ims"], parse: volumes },
    Target { name: "npy", endings: &["npy"], parse: volumes },
    Target { name: "npz", endings: &["npz"], parse: volumes },
    Target { name: "metaimage", endings: &["mha"], parse: volumes },
    Target { name: "nrrd", endings: &["nrrd"], parse: volumes },
    Target { name: "weights", endings: &["safetensors", "pkl", "pth", "pt"], parse: model },
    Target { name: "run", endings: &["toml"], parse: config },
];

/// Opens all volumes of a file, for every role, and reads them.
fn volumes(path: &Path) {
    let specs = io::volumes(path).unwrap_or_else(|_| vec![path.to_owned()]);
    for spec in specs.iter().take(4) {
        for role in [Role::Raw, Role::Labels, Role::Boundary] {
            let picks = [None, Some(Pick::Number(1))];
            for pick in picks {
                let selection = Selection { role, channel: pick.clone(), time: pick };
                if let Ok(volume) = io::open(spec, selection) {
                    let _ = (volume.range(), volume.first_non_finite(), volume.to_labels());
                }
            }
        }
    }
}

fn model(path: &Path) {
    let _ = Model::load(path);
}

fn config(path: &Path) {
    let _ = Config::read(path);
}

/// The files of `tests/data` with one of the endings, below 64 KiB.
fn seeds(endings: &[&str]) -> Vec<Vec<u8>> {
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data")];
    folders.push(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts"));
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known)) {
                files.push(path);
            }
        }
    }
    files.sort();
    files.iter().map(|path| fs::read(path).unwrap()).filter(|bytes| bytes.len() < 64 << 10).collect()
}

/// Numbers that parsers trip over.
const ODD: [u64; 12] =
    [0, 1, 2, 7, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];

/// Damages a file in one to six places.
fn damage(bytes: &mut Vec<u8>, other: &[u8], random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..=6) {
        if bytes.is_empty() {
            return;
        }
        // Headers stand mostly at the beginning.
        let reach = if random.random_bool(0.5) { bytes.len().min(512) } else { bytes.len() };
        let at = random.random_range(0..reach);
        match random.random_range(0..9) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 | 3 => overwrite(bytes, at, random),
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..(at + random.random_range(1..=32)).min(bytes.len()))),
            6 => {
                let end = (at + random.random_range(1..=64)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            7 => digits(bytes, at, random),
            _ if !other.is_empty() => {
                let from = random.random_range(0..other.len());
                let end = (from + random.random_range(1..=128)).min(other.len());
                bytes.splice(at..(at + end - from).min(bytes.len()), other[from..end].iter().copied());
            }
            _ => {}
        }
    }
}

/// Writes an odd number over 1, 2, 4 or 8 bytes, in either order.
fn overwrite(bytes: &mut [u8], at: usize, random: &mut ChaCha8Rng) {
    let number = match random.random_bool(0.8) {
        true => {
            ODD[random.random_range(0..ODD.len())].wrapping_add(random.random_range(0..3)).wrapping_sub(1)
        }
        false => bytes.len() as u64 + random.random_range(0..9) - 4,
    };
    let size = 1 << random.random_range(0..4);
    let mut raw = number.to_le_bytes()[..size].to_vec();
    if random.random_bool(0.3) {
        raw.reverse();
    }
    bytes[at..].iter_mut().zip(raw).for_each(|(place, byte)| *place = byte);
}

/// Replaces the first run of decimal digits from `at` on by another number.
fn digits(bytes: &mut Vec<u8>, at: usize, random: &mut ChaCha8Rng) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|first| at + first) else { return };
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = ODD[random.random_range(0..ODD.len())];
    let text = if random.random_bool(0.2) { format!("-{number}") } else { number.to_string() };
    bytes.splice(start..start + length, text.into_bytes());
}

/// Parses one file; what went wrong, if anything did.
fn failure(target: &Target, path: &Path, length: usize) -> Option<String> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    EXCEEDED.store(false, Ordering::Relaxed);
    LIMIT.store(BASE + EXPANSION * length, Ordering::Relaxed);
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| (target.parse)(path)));
    LIMIT.store(usize::MAX, Ordering::Relaxed);
    match result {
        Err(_) => Some("a panic".into()),
        Ok(()) if EXCEEDED.load(Ordering::Relaxed) => {
            Some(format!("an allocation beyond what {length} bytes justify"))
        }
        Ok(()) if start.elapsed() > Duration::from_secs(10) => Some("more than ten seconds".into()),
        Ok(()) => None,
    }
}

/// Fuzzes one parser for a while; the number of files that it was given.
fn fuzz(target: &Target, time: Duration, seed: u64) -> u64 {
    let seeds = seeds(target.endings);
    assert!(!seeds.is_empty(), "{}: no file to damage", target.name);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let path = kept(target, "now");
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
        let other = &seeds[random.random_range(0..seeds.len())];
        damage(&mut bytes, other, &mut random);
        fs::write(&path, &bytes).unwrap();
        if let Some(failure) = failure(target, &path, bytes.len()) {
            let kept = kept(target, &format!("{seed}-{count}"));
            fs::rename(&path, &kept).unwrap();
            panic!("{}: {failure}, with {}", target.name, kept.display());
        }
        count += 1;
    }
    fs::remove_file(&path).unwrap();
    count
}

/// The place of a file in `target/fuzz`, where it stays if the parser ends the program.
fn kept(target: &Target, name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{}-{name}.{}", target.name, target.endings[0]))
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn damaged_files_never_panic_and_never_take_more_memory_than_they_justify() {
    let seconds = environment("TASCAN_FUZZ_SECONDS").unwrap_or(SECONDS);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = environment("TASCAN_FUZZ_SEED").unwrap_or(now);
    println!("seed {seed}");
    let time = Duration::from_secs(seconds) / TARGETS.len() as u32;
    for target in TARGETS {
        println!("{}: {} damaged files", target.name, fuzz(target, time, seed));
    }
}

/// A header that claims 4 GiB in a file of 128 bytes.
#[test]
fn a_header_that_claims_four_gibibytes_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.npy");
    let mut bytes = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
    bytes.resize(128, b' ');
    fs::write(&path, &bytes).unwrap();
    assert_eq!(failure(&TARGETS[2], &path, 128), None);
    assert!(io::open(&path, Role::Raw).is_err());
}

/// A single page that its metadata make to stand for four billion planes.
#[test]
fn a_page_that_stands_for_more_planes_than_the_file_has_bytes_is_refused() {
    let mut bytes =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/files/imagej_single_page.tif"))
            .unwrap();
    let text = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).position(|there| there == word).unwrap();
    let (start, old) = (text(&bytes, b"images=3\nslices=3\n"), b"images=3\nslices=3\n".len());
    bytes[start..start + old].copy_from_slice(b"slices=4294967295\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.tif");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(failure(&TARGETS[0], &path, bytes.len()), None);
    assert!(io::open(&path, Role::Raw).is_err());
}
