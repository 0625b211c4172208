//! Compiles `kernels/*.cu` to PTX and embeds the table of them; without a CUDA compiler the table is empty, and the
//! program runs on the CPU.
//!
//! nvcc is looked for in `$NVCC` (empty: none is wanted), `$CUDA_HOME`, PATH, the active Python environment and
//! `target/cuda`, where `scripts/get-nvcc` puts it. The version that nvcc writes into PTX is that of its own release, which
//! would shut out all older drivers; the instructions are old ones, so the version is lowered to the oldest that has them,
//! and ptxas has to accept the result.
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, thread};

/// Compute capabilities to compile for, and the PTX version that each is declared as: those of CUDA 10.2 and 11.0.
const TARGETS: [(u32, &str); 2] = [(75, "6.5"), (80, "7.0")];

/// A hint about unused bytes of a load, newer than those versions.
const NEWER_HINT: &str = ".pragma \"used_bytes_mask";

fn main() {
    for watched in ["build.rs", "kernels"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    for variable in ["NVCC", "CUDA_HOME", "PATH", "VIRTUAL_ENV"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let images = match find_nvcc() {
        Some(nvcc) => compile_all(&nvcc, &out),
        None => {
            println!(
                "cargo::warning=no CUDA compiler found: this build is for the CPU alone. scripts/get-nvcc gets one; \
                 then build again"
            );
            Vec::new()
        }
    };
    fs::write(out.join("images.rs"), table(&images)).expect("OUT_DIR can be written to");
}

/// One kernel file for one compute capability.
struct Image {
    name: String,
    capability: u32,
    ptx: PathBuf,
}

/// The source of a `&[Image]`; see `src/device/cuda/kernels.rs`.
fn table(images: &[Image]) -> String {
    let mut text = "&[".to_owned();
    for Image { name, capability, ptx } in images {
        let _ = write!(
            text,
            "Image {{ name: {name:?}, capability: {capability}, ptx: include_bytes!({ptx:?}) }}, "
        );
    }
    text + "]"
}

fn find_nvcc() -> Option<PathBuf> {
    if let Some(named) = env::var_os("NVCC") {
        return (!named.is_empty()).then(|| PathBuf::from(named));
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let in_cuda_home = env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc"));
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("nvcc"));
    let in_python = env::var_os("VIRTUAL_ENV").into_iter().flat_map(|environment| {
        children(&PathBuf::from(environment).join("lib"))
            .into_iter()
            .flat_map(|python| in_packages(&python.join("site-packages")))
    });
    let candidates = in_cuda_home
        .into_iter()
        .chain(on_path)
        .chain(in_python)
        .chain(in_packages(&root.join("target/cuda")));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// Where NVIDIA's Python packages put nvcc.
fn in_packages(site: &Path) -> Vec<PathBuf> {
    children(&site.join("nvidia")).into_iter().map(|package| package.join("bin/nvcc")).collect()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn compile_all(nvcc: &Path, out: &Path) -> Vec<Image> {
    let sources =
        children(Path::new("kernels")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "cu"));
    let jobs = sources.flat_map(|source| TARGETS.map(|target| (source.clone(), target)));
    thread::scope(|scope| {
        let running: Vec<_> =
            jobs.map(|(source, target)| scope.spawn(move || compile(nvcc, &source, target, out))).collect();
        running.into_iter().map(|job| job.join().expect("told above")).collect()
    })
}

fn compile(nvcc: &Path, source: &Path, (capability, version): (u32, &str), out: &Path) -> Image {
    let name =
        source.file_stem().and_then(|stem| stem.to_str()).expect("kernels have plain names").to_owned();
    let ptx = out.join(format!("{name}_{capability}.ptx"));
    run(Command::new(nvcc)
        .args(["-ptx", "-std=c++17", &format!("-arch=compute_{capability}")])
        .arg(source)
        .arg("-o")
        .arg(&ptx));
    let text = fs::read_to_string(&ptx).expect("nvcc wrote it");
    fs::write(&ptx, lowered(&text, version)).expect("OUT_DIR can be written to");
    assemble(nvcc, &ptx, capability);
    Image { name, capability, ptx }
}

fn lowered(ptx: &str, version: &str) -> String {
    let lines = ptx.lines().filter(|line| !line.trim_start().starts_with(NEWER_HINT));
    let lines = lines.map(|line| match line.strip_prefix(".version ") {
        Some(_) => format!(".version {version}\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// Holds the lowered version to be true: ptxas refuses what a version does not have.
fn assemble(nvcc: &Path, ptx: &Path, capability: u32) {
    let ptxas = nvcc.with_file_name("ptxas");
    if ptxas.is_file() {
        let cubin = ptx.with_extension("cubin");
        run(Command::new(ptxas).arg(format!("-arch=sm_{capability}")).arg(ptx).arg("-o").arg(cubin));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?} failed, {}. A CUDA compiler of 11.4 or later serves; NVCC= (empty) builds for the CPU alone.\n{said}",
        output.status
    );
}
