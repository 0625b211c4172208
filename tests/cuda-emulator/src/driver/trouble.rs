//! Trouble on request: from a chosen launch or call on every call fails, as after a fault in a kernel
//! (`CUDA_EMULATOR_FAIL_LAUNCH`) or when a device is gone (`CUDA_EMULATOR_FAIL_CALL`). Counted are the calls that use a device:
//! modules, memory, copies, launches and waiting; of all devices, or of the one that is named.

use super::{CUresult, LAUNCH_FAILED, SUCCESS, UNKNOWN, context};
use crate::memory::device::MOST_DEVICES;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

/// What every call that uses a device returns from now on.
static FAILED: [AtomicI32; MOST_DEVICES] = [const { AtomicI32::new(SUCCESS) }; MOST_DEVICES];

/// Fails from the call of a number on, which the environment names.
struct Trouble {
    variable: &'static str,
    result: CUresult,
    /// The device, where one is named, and the number.
    at: OnceLock<Option<(Option<usize>, u64)>>,
    count: AtomicU64,
}

impl Trouble {
    const fn new(variable: &'static str, result: CUresult) -> Self {
        Trouble { variable, result, at: OnceLock::new(), count: AtomicU64::new(0) }
    }

    fn check(&self) -> Result<(), CUresult> {
        let device = context::current()?;
        let at = self.at.get_or_init(|| parse(&std::env::var(self.variable).ok()?));
        let at = at.filter(|(only, _)| only.is_none_or(|only| only == device));
        if at.is_some_and(|(_, at)| self.count.fetch_add(1, Relaxed) + 1 >= at) {
            FAILED[device].store(self.result, Relaxed);
        }
        match FAILED[device].load(Relaxed) {
            SUCCESS => Ok(()),
            failed => Err(failed),
        }
    }
}

/// `N` or `DEVICE:N`.
fn parse(text: &str) -> Option<(Option<usize>, u64)> {
    match text.split_once(':') {
        Some((device, number)) => Some((Some(device.parse().ok()?), number.parse().ok()?)),
        None => Some((None, text.parse().ok()?)),
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
