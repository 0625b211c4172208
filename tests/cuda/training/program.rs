//! `tascan train --device cuda`: the program itself, with the emulated driver on its library path.
use std::fs;

use tascan::weights::Weights;

use super::super::driver::{are_kernels_built, with_emulator};
use crate::cli::sandbox::Sandbox;

const CONFIG: &str = "
output = 'run'
steps = 2
checkpoint_every = 1
[synthetic]
shape = [12, 16, 16]
window = 2
uses = 2
[cuboids]
batch = 1
smallest = 6
largest = 8
[validation]
every = 0
";

/// A folder with the parameters of a run; `None` where there are no kernels to run.
fn with_run(config: &str) -> Option<Sandbox> {
    are_kernels_built().then(|| {
        let sandbox = Sandbox::new();
        fs::write(sandbox.path("run.toml"), config).unwrap();
        sandbox
    })
}

fn train(sandbox: &Sandbox, line: &str) {
    let mut command = with_emulator(sandbox.command(), "8.0");
    let output = command.args(line.split_whitespace()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tascan {line}: {} {said}", output.status);
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let Some(sandbox) = with_run(CONFIG) else { return };
    sandbox.succeeds("train --config run.toml --device cpu --output cpu");
    for (precision, tolerance) in [("f32", 1e-4), ("bf16", 5e-3)] {
        let run =
            format!("train --config run.toml --device cuda --precision {precision} --output {precision}");
        train(&sandbox, &format!("{run}-whole"));
        train(&sandbox, &format!("{run}-parts --steps 1"));
        train(&sandbox, &format!("{run}-parts --resume"));
        let [whole, parts] = ["whole", "parts"].map(|part| {
            let folder = sandbox.path(&format!("{precision}-{part}"));
            fs::read(folder.join("checkpoint.safetensors")).unwrap()
        });
        assert!(whole == parts, "the checkpoints in {precision} differ");

        let [cuda, cpu] =
            [&format!("{precision}-whole"), "cpu"].map(|folder| loss_of_last_step(&sandbox, folder));
        crate::compare::assert_relative(cuda, cpu, tolerance);
        let model = Weights::load(sandbox.path(&format!("{precision}-whole/model.safetensors"))).unwrap();
        assert!(model.values.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn a_precision_that_there_is_not_is_refused() {
    let Some(sandbox) = with_run(CONFIG) else { return };
    let output = sandbox.run("train --config run.toml --precision f16");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("[possible values: f32, bf16]"), "{said}");
    let mut command = with_emulator(sandbox.command(), "7.5");
    let output =
        command.args(["train", "--config", "run.toml", "--device", "cuda", "--precision", "bf16"]).output();
    sandbox
        .has_failed(&output.unwrap(), &["compute capability 7.5", "bf16 needs 8.0", "another --precision"]);
    assert!(!sandbox.path("run").exists(), "a folder of a run that did not begin");
}

#[test]
fn a_step_that_exceeds_the_memory_says_what_takes_less() {
    let Some(sandbox) = with_run(&CONFIG.replace("batch = 1", "batch = 60")) else { return };
    let mut command = with_emulator(sandbox.command(), "8.0");
    command.args(["train", "--config", "run.toml", "--device", "cuda"]);
    // Enough for the weights, the optimiser, and a batch of one.
    let output = command.env("CUDA_EMULATOR_MEMORY", "48000000").output().unwrap();
    sandbox.has_failed(&output, &["out of memory", "cuboids.batch = 60", "cuboids.largest = 8"]);
}

fn loss_of_last_step(sandbox: &Sandbox, folder: &str) -> f64 {
    let log = fs::read_to_string(sandbox.path(folder).join("log.csv")).unwrap();
    let last = log.lines().last().unwrap();
    last.split(',').nth(2).unwrap().parse().unwrap()
}
