//! A loaded module: its functions, decoded, and its global variables in device memory.

use crate::error::LoadError;
use crate::exec::program::{self, Program, Symbols};
use crate::memory::device::Device;
use crate::parse::ast::{Space, Variable};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// What a launch may ask for before `cuFuncSetAttribute` allows more.
const DEFAULT_DYNAMIC_SHARED: usize = 48 << 10;

pub struct Function {
    pub program: Program,
    /// Number of the device on which it was loaded.
    pub device: usize,
    /// From `cuFuncSetAttribute`.
    pub max_dynamic_shared: AtomicUsize,
}

pub struct Module {
    /// Of its PTX, 70 for 7.0.
    pub version: u32,
    /// Number of its device.
    pub device: usize,
    /// A launch holds its own until it is done.
    pub functions: Vec<Arc<Function>>,
    /// Name, address and size.
    pub globals: Vec<(String, u64, usize)>,
}

impl Drop for Module {
    fn drop(&mut self) {
        let mut memory = Device::lock();
        for (_, address, _) in &self.globals {
            memory.release(*address);
        }
    }
}

impl Module {
    /// Loads PTX on the device of a number and of this compute capability (80 for 8.0).
    pub fn load(source: &str, device: usize, capability: u32) -> Result<Module, LoadError> {
        let parsed = crate::parse::parse(source)?;
        if parsed.target > capability {
            return Err(LoadError::Target { target: parsed.target, device: capability });
        }
        let mut module =
            Module { version: parsed.version, device, functions: Vec::new(), globals: Vec::new() };
        let local = parsed.kernels.iter().flat_map(|kernel| &kernel.variables);
        for variable in parsed.variables.iter().chain(local).filter(|v| v.space == Space::Global) {
            let address = place(variable, device)?;
            module.globals.push((variable.name.clone(), address, variable.size));
        }
        let symbols: Symbols = module
            .globals
            .iter()
            .map(|(name, address, _)| (name.clone(), (Space::Global, *address)))
            .collect();
        for kernel in &parsed.kernels {
            let program = program::build(kernel, &parsed.variables, &symbols)?;
            let max_dynamic_shared = DEFAULT_DYNAMIC_SHARED.into();
            module.functions.push(Arc::new(Function { program, device, max_dynamic_shared }));
        }
        Ok(module)
    }

    pub fn function(&self, name: &str) -> Option<&Arc<Function>> {
        self.functions.iter().find(|function| function.program.name == name)
    }
}

/// Gives a variable its memory on a device; without an initialiser it is zero, and counts as written.
fn place(variable: &Variable, device: usize) -> Result<u64, LoadError> {
    let error = |what: &str| LoadError::Variable(variable.name.clone(), what.to_owned());
    if variable.external {
        return Err(error("external variables are not supported"));
    }
    let mut memory = Device::lock();
    let address = memory.allocate(device, variable.size.max(1)).ok_or_else(|| error("no memory"))?;
    let (allocation, _) = memory.find(address, variable.size).ok_or_else(|| error("no memory"))?;
    if let Some(init) = &variable.init {
        // SAFETY: the initialiser is at most the variable's size.
        unsafe { std::ptr::copy_nonoverlapping(init.as_ptr(), allocation.data(), init.len()) };
    }
    allocation.mark_written(0, variable.size);
    Ok(address)
}
