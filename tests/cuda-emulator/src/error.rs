//! Why a module cannot be loaded. Faults of a running kernel are in `check`.

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("PTX line {line}: not understood: {what}")]
    Syntax { line: u32, what: String },
    #[error("kernel {kernel}, PTX line {line}: `{text}`: {reason}")]
    Instruction { kernel: String, line: u32, text: String, reason: String },
    #[error("the module targets sm_{target}, this device is sm_{device} (CUDA_EMULATOR_CC)")]
    Target { target: u32, device: u32 },
    #[error("variable {0}: {1}")]
    Variable(String, String),
    #[error("not PTX text: {0}")]
    Image(String),
}

impl LoadError {
    pub fn syntax(line: u32, what: &str) -> Self {
        Self::Syntax { line, what: what.to_owned() }
    }
}
