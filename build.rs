//! Compiles `kernels/*.cu` to PTX, and that to the machine code of each architecture, and embeds the table of them; without
//! a CUDA compiler the table is empty, and the program runs on the CPU. What ptxas says of each kernel's registers and
//! spills is kept beside it, `OUT_DIR/ptxas.txt`, for tests/cuda/images.rs and scripts/kernel-report.
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

/// Compute capabilities to make machine code for: those of all GPUs up to now. Later ones, and drivers that do not take it,
/// compile the PTX themselves.
const ARCHITECTURES: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];

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
    let reports: String = images.iter().map(|image| image.report.as_str()).collect();
    fs::write(out.join("ptxas.txt"), reports).expect("OUT_DIR can be written to");
    fs::write(out.join("images.rs"), table(&images)).expect("OUT_DIR can be written to");
}

/// One kernel file for one compute capability, as PTX (`.ptx`) or machine code (`.cubin`).
struct Image {
    name: String,
    capability: u32,
    file: PathBuf,
    /// What ptxas says of its kernels.
    report: String,
}

/// The source of a `&[Image]`; see `src/device/cuda/kernels.rs`.
fn table(images: &[Image]) -> String {
    let mut text = "&[".to_owned();
    for Image { name, capability, file, .. } in images {
        let form = if file.extension().is_some_and(|e| e == "ptx") { "Ptx" } else { "MachineCode" };
        let _ = write!(
            text,
            "Image {{ name: {name:?}, capability: {capability}, form: Form::{form}, bytes: include_bytes!({file:?}) }}, "
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
    let architectures = known_architectures(nvcc);
    thread::scope(|scope| {
        let compile = |source: PathBuf, target| {
            let ptx = compile(nvcc, &source, target, out);
            let own = architectures.iter().filter(|&&architecture| newest_target(architecture) == target.0);
            let mut images: Vec<_> = own.map(|&architecture| assemble(nvcc, &ptx, architecture)).collect();
            images.push(ptx);
            images
        };
        let running: Vec<_> =
            jobs.map(|(source, target)| scope.spawn(move || compile(source, target))).collect();
        running.into_iter().flat_map(|job| job.join().expect("told above")).collect()
    })
}

/// Those of [`ARCHITECTURES`] that this release of the compiler knows; none where it comes without ptxas.
fn known_architectures(nvcc: &Path) -> Vec<u32> {
    if !nvcc.with_file_name("ptxas").is_file() {
        return Vec::new();
    }
    let known = run(Command::new(nvcc).arg("--list-gpu-code"));
    let is_known = |architecture: &u32| known.lines().any(|line| line.trim() == format!("sm_{architecture}"));
    ARCHITECTURES.into_iter().filter(is_known).collect()
}

/// The PTX that an architecture's machine code is made from.
fn newest_target(architecture: u32) -> u32 {
    let capabilities = TARGETS.map(|(capability, _)| capability);
    capabilities.into_iter().rfind(|capability| *capability <= architecture).expect("the first is the least")
}

fn compile(nvcc: &Path, source: &Path, (capability, version): (u32, &str), out: &Path) -> Image {
    let name =
        source.file_stem().and_then(|stem| stem.to_str()).expect("kernels have plain names").to_owned();
    let file = out.join(format!("{name}_{capability}.ptx"));
    run(Command::new(nvcc)
        .args(["-ptx", "-std=c++17", &format!("-arch=compute_{capability}")])
        .arg(source)
        .arg("-o")
        .arg(&file));
    let text = fs::read_to_string(&file).expect("nvcc wrote it");
    fs::write(&file, lowered(&text, version)).expect("OUT_DIR can be written to");
    Image { name, capability, file, report: String::new() }
}

fn lowered(ptx: &str, version: &str) -> String {
    let lines = ptx.lines().filter(|line| !line.trim_start().starts_with(NEWER_HINT));
    let lines = lines.map(|line| match line.strip_prefix(".version ") {
        Some(_) => format!(".version {version}\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// Machine code; ptxas refuses what the lowered version of the PTX does not have.
fn assemble(nvcc: &Path, ptx: &Image, architecture: u32) -> Image {
    let file = ptx.file.with_file_name(format!("{}_{architecture}.cubin", ptx.name));
    let ptxas = nvcc.with_file_name("ptxas");
    let report = run(Command::new(ptxas)
        .args(["-v", &format!("-arch=sm_{architecture}")])
        .arg(&ptx.file)
        .arg("-o")
        .arg(&file));
    Image { name: ptx.name.clone(), capability: architecture, file, report }
}

/// What the command printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(
        output.status.success(),
        "{command:?} failed, {}. A CUDA compiler of 11.4 or later serves; NVCC= (empty) builds for the CPU alone.\n{said}",
        output.status
    );
    said
}
