//! Trouble on request: from a chosen launch or call on every call fails, as after a fault in a kernel
//! (`CUDA_EMULATOR_FAIL_LAUNCH`) or when a device is gone (`CUDA_EMULATOR_FAIL_CALL`). Counted are the calls that use the device:
//! modules, memory, copies, launches and waiting.

use super::{CUresult, LAUNCH_FAILED, SUCCESS, UNKNOWN};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

/// What every call returns from now on.
static FAILED: AtomicI32 = AtomicI32::new(SUCCESS);

/// Fails from the call of a number on, which the environment names.
struct Trouble {
    variable: &'static str,
    result: CUresult,
    at: OnceLock<Option<u64>>,
    count: AtomicU64,
}

impl Trouble {
    const fn new(variable: &'static str, result: CUresult) -> Self {
        Trouble { variable, result, at: OnceLock::new(), count: AtomicU64::new(0) }
    }

    fn check(&self) -> Result<(), CUresult> {
        let at = self.at.get_or_init(|| std::env::var(self.variable).ok()?.parse().ok());
        if at.is_some_and(|at| self.count.fetch_add(1, Relaxed) + 1 >= at) {
            FAILED.store(self.result, Relaxed);
        }
        match FAILED.load(Relaxed) {
            SUCCESS => Ok(()),
            failed => Err(failed),
        }
    }
}

static CALL: Trouble = Trouble::new("CUDA_EMULATOR_FAIL_CALL", UNKNOWN);
static LAUNCH: Trouble = Trouble::new("CUDA_EMULATOR_FAIL_LAUNCH", LAUNCH_FAILED);

/// To be asked before a call does anything; the error is what the call returns.
pub fn call() -> Result<(), CUresult> {
    CALL.check()
}

/// The same before a launch.
pub fn launch() -> Result<(), CUresult> {
    CALL.check()?;
    LAUNCH.check()
}
