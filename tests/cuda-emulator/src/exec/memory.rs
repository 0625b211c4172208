//! Loads and stores (PTX ISA, sections 9.7.9.8 to 9.7.9.12). Cache hints change nothing here.

use super::lanes::{LANES, Slot, each, lanes_of};
use super::memory_local::{load_local, load_param, store_local};
use super::moves::space_of;
use super::site::Site;
use super::{Decoded, Env, Exec, Result};
use crate::check::Step;
use crate::count::Class;
use crate::memory::global::{self, Access};
use crate::memory::{LOCAL_WINDOW, SHARED_WINDOW};
use crate::parse::ast::{Operand, Space, Type};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

/// `[base + offset]`: the base's slot, whether it has 64 bits, the offset.
#[derive(Clone, Copy)]
pub struct Address {
    base: Slot,
    wide: bool,
    offset: i64,
}

impl Address {
    /// Of operand `at`, and the space of the variable that it names, if it does.
    pub fn decode(site: &mut Site, at: usize) -> Result<Address> {
        let Operand::Address(base, offset) = site.operand(at)? else {
            return Err("an address was expected".to_owned());
        };
        let wide = match &**base {
            Operand::Register(register) => site.builder.register_type(*register).bytes() == 8,
            _ => true,
        };
        let base = site.source(base, if wide { Type::U64 } else { Type::U32 })?;
        Ok(Address { base, wide, offset: *offset })
    }

    #[inline(always)]
    pub fn lanes(self, env: &Env) -> [u64; LANES] {
        let registers = &env.warp.registers;
        let mut out = [0; LANES];
        if self.wide {
            let base = registers.get::<u64>(self.base);
            (0..LANES).for_each(|lane| out[lane] = base[lane].wrapping_add_signed(self.offset));
        } else {
            let base = registers.get::<u32>(self.base);
            (0..LANES).for_each(|lane| out[lane] = u64::from(base[lane].wrapping_add(self.offset as u32)));
        }
        out
    }
}

/// A register that takes part in a load or store.
#[derive(Clone, Copy)]
pub(super) struct Element {
    slot: Slot,
    wide: bool,
}

/// What a load or store is, decoded.
pub(super) struct Transfer {
    address: Address,
    pub(super) elements: Vec<Element>,
    space: Space,
    /// Bytes of one element, and whether it is extended by its sign.
    pub(super) bytes: usize,
    signed: bool,
    plain: bool,
}

pub fn decode(site: &mut Site) -> Option<Result<Decoded>> {
    match site.name {
        "ld" | "ldu" => Some(load(site)),
        "st" => Some(store(site)),
        "prefetch" | "prefetchu" => Some(prefetch(site)),
        _ => None,
    }
}

fn prefetch(site: &mut Site) -> Result<Decoded> {
    take_space(site);
    while site.mods.take_any(&["L1", "L2", "L2::evict_last", "L2::evict_normal"]).is_some() {}
    Ok(Decoded::run(Class::GlobalLoad, Box::new(|_, _| Ok(()))))
}

/// The state space among the modifiers.
pub fn take_space(site: &mut Site) -> Space {
    match site.mods.take_any(&["global", "const", "shared", "shared::cta", "local", "param"]) {
        Some("global" | "const") => Space::Global,
        Some("local") => Space::Local,
        Some("param") => Space::Param,
        Some(_) => Space::Shared,
        None => Space::Generic,
    }
}

const HINTS: [&str; 20] = [
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "nc",
    "weak",
    "cta",
    "gpu",
    "sys",
    "L1::evict_last",
    "L1::evict_normal",
    "L1::no_allocate",
    "L1::evict_first",
    "L1::evict_unchanged",
    "L2::64B",
    "L2::128B",
    "L2::256B",
];

fn transfer(site: &mut Site, address_at: usize, value_at: usize) -> Result<Transfer> {
    let communicates = site.mods.take_any(&["volatile", "relaxed", "acquire", "release"]).is_some();
    let space = take_space(site);
    while site.mods.take_any(&HINTS).is_some() {}
    let lanes = match site.mods.take_any(&["v2", "v4"]) {
        None => 1,
        Some("v2") => 2,
        Some(_) => 4,
    };
    let ty = site.mods.take_type()?;
    let address = Address::decode(site, address_at)?;
    let operands = site.elements(value_at)?;
    if operands.len() != lanes || lanes * ty.bytes() > 16 {
        return Err(format!("{} registers for {lanes} elements of {ty:?}", operands.len()));
    }
    let elements = operands.iter().map(|operand| element(site, operand, ty)).collect::<Result<Vec<_>>>()?;
    Ok(Transfer { address, elements, space, bytes: ty.bytes(), signed: ty.is_signed(), plain: !communicates })
}

/// Registers may be wider than what is moved.
fn element(site: &mut Site, operand: &Operand, ty: Type) -> Result<Element> {
    let declared = match operand {
        Operand::Register(register) => site.builder.register_type(*register),
        _ => ty,
    };
    let wide = declared.bytes() == 8;
    let slot = site.source(operand, if wide { Type::B64 } else { ty })?;
    Ok(Element { slot, wide })
}

fn class(space: Space, load: bool) -> Class {
    match (space, load) {
        (Space::Global | Space::Generic, true) => Class::GlobalLoad,
        (Space::Global | Space::Generic, false) => Class::GlobalStore,
        (Space::Shared, true) => Class::SharedLoad,
        (Space::Shared, false) => Class::SharedStore,
        (Space::Local, _) => Class::Local,
        (Space::Param, _) => Class::Param,
    }
}

fn load(site: &mut Site) -> Result<Decoded> {
    let t = transfer(site, 1, 0)?;
    let class = class(t.space, true);
    let exec: Exec = Box::new(move |env, mask| {
        let addresses = t.address.lanes(env);
        let mut values = [[0u64; LANES]; 4];
        by_space(t.space, &addresses, mask, |space, addresses, mask| match space {
            Space::Shared => load_shared(env, &t, addresses, mask, &mut values),
            Space::Local => load_local(env, &t, addresses, mask, &mut values),
            Space::Param => load_param(env, &t, addresses, mask, &mut values),
            _ => load_global(env, &t, addresses, mask, &mut values),
        })?;
        for (element, values) in t.elements.iter().zip(&mut values) {
            put(env, *element, values, &t, mask);
        }
        Ok(())
    });
    Ok(Decoded::run(class, exec))
}

fn store(site: &mut Site) -> Result<Decoded> {
    let t = transfer(site, 0, 1)?;
    let class = class(t.space, false);
    if t.space == Space::Param {
        return Err("store to a parameter".to_owned());
    }
    let exec: Exec = Box::new(move |env, mask| {
        let addresses = t.address.lanes(env);
        let mut values = [[0u64; LANES]; 4];
        for (element, values) in t.elements.iter().zip(&mut values) {
            *values = take(env, *element);
        }
        by_space(t.space, &addresses, mask, |space, addresses, mask| match space {
            Space::Shared => store_shared(env, &t, addresses, mask, &values),
            Space::Local => store_local(env, &t, addresses, mask, &values),
            _ => store_global(env, &t, addresses, mask, &values),
        })
    });
    Ok(Decoded::run(class, exec))
}

/// Splits generic addresses by the space they lie in; each part sees addresses of its own space.
pub fn by_space(
    space: Space,
    addresses: &[u64; LANES],
    mask: u32,
    mut f: impl FnMut(Space, &[u64; LANES], u32) -> Step,
) -> Step {
    if space != Space::Generic {
        return f(space, addresses, mask);
    }
    for (space, start) in [(Space::Global, 0), (Space::Shared, SHARED_WINDOW), (Space::Local, LOCAL_WINDOW)] {
        let here = lanes_of(mask).filter(|lane| space_of(addresses[*lane]) == space);
        let here = here.fold(0, |bits, lane| bits | 1 << lane);
        if here != 0 {
            f(space, &each(addresses, |address| address.wrapping_sub(start)), here)?;
        }
    }
    Ok(())
}

#[inline(always)]
fn take(env: &Env, element: Element) -> [u64; LANES] {
    if element.wide {
        *env.warp.registers.get::<u64>(element.slot)
    } else {
        each(env.warp.registers.get::<u32>(element.slot), u64::from)
    }
}

#[inline(always)]
fn put(env: &mut Env, element: Element, values: &mut [u64; LANES], t: &Transfer, mask: u32) {
    if t.signed {
        let shift = 64 - 8 * t.bytes as u32;
        values.iter_mut().for_each(|value| *value = ((*value << shift) as i64 >> shift) as u64);
    }
    if element.wide {
        env.warp.registers.set(element.slot, values, mask);
    } else {
        env.warp.registers.set(element.slot, &each(values, |value| value as u32), mask);
    }
}

/// Elements by lane, as loaded or to be stored.
pub(super) type Values = [[u64; LANES]; 4];

fn load_global(
    env: &mut Env,
    t: &Transfer,
    addresses: &[u64; LANES],
    mut mask: u32,
    out: &mut Values,
) -> Step {
    let bytes = t.bytes * t.elements.len();
    env.counts.global_access(addresses, mask, bytes);
    while mask != 0 {
        let run = global::runs(&env.launch.memory, &mut env.hints[env.pc], addresses, mask, bytes)?;
        global::before_read(&run, addresses, Access { bytes, plain: t.plain }, env.stamp)?;
        for lane in lanes_of(run.mask) {
            let offset = (addresses[lane] - run.allocation.base) as usize;
            for (number, values) in out.iter_mut().enumerate().take(t.elements.len()) {
                // SAFETY: `runs` checked bounds and alignment of the whole access.
                values[lane] =
                    unsafe { fetch(run.allocation.data().add(offset + number * t.bytes), t.bytes) };
            }
        }
        mask &= !run.mask;
    }
    Ok(())
}

fn store_global(env: &mut Env, t: &Transfer, addresses: &[u64; LANES], mut mask: u32, from: &Values) -> Step {
    let bytes = t.bytes * t.elements.len();
    env.counts.global_access(addresses, mask, bytes);
    while mask != 0 {
        let run = global::runs(&env.launch.memory, &mut env.hints[env.pc], addresses, mask, bytes)?;
        global::before_write(&run, addresses, Access { bytes, plain: t.plain }, env.stamp)?;
        for lane in lanes_of(run.mask) {
            let offset = (addresses[lane] - run.allocation.base) as usize;
            for (number, values) in from.iter().enumerate().take(t.elements.len()) {
                // SAFETY: `runs` checked bounds and alignment of the whole access.
                unsafe {
                    put_bytes(run.allocation.data().add(offset + number * t.bytes), t.bytes, values[lane])
                };
            }
        }
        mask &= !run.mask;
    }
    Ok(())
}

/// # Safety
/// `at` points to `bytes` readable bytes, aligned to their number.
#[inline(always)]
unsafe fn fetch(at: *mut u8, bytes: usize) -> u64 {
    // SAFETY: the caller's promise; blocks on other threads may touch the bytes, hence atomics.
    unsafe {
        match bytes {
            1 => u64::from((*at.cast::<AtomicU8>()).load(Relaxed)),
            2 => u64::from((*at.cast::<AtomicU16>()).load(Relaxed)),
            4 => u64::from((*at.cast::<AtomicU32>()).load(Relaxed)),
            _ => (*at.cast::<AtomicU64>()).load(Relaxed),
        }
    }
}

/// # Safety
/// `at` points to `bytes` writable bytes, aligned to their number.
#[inline(always)]
unsafe fn put_bytes(at: *mut u8, bytes: usize, value: u64) {
    // SAFETY: as in `fetch`.
    unsafe {
        match bytes {
            1 => (*at.cast::<AtomicU8>()).store(value as u8, Relaxed),
            2 => (*at.cast::<AtomicU16>()).store(value as u16, Relaxed),
            4 => (*at.cast::<AtomicU32>()).store(value as u32, Relaxed),
            _ => (*at.cast::<AtomicU64>()).store(value, Relaxed),
        }
    }
}

/// A little-endian value of up to 8 bytes.
#[inline(always)]
pub(super) fn read_bytes(from: &[u8]) -> u64 {
    if let [a, b, c, d] = *from {
        return u64::from(u32::from_le_bytes([a, b, c, d]));
    }
    let mut value = 0;
    for at in (0..from.len()).rev() {
        value = value << 8 | u64::from(from[at]);
    }
    value
}

fn load_shared(env: &mut Env, t: &Transfer, addresses: &[u64; LANES], mask: u32, out: &mut Values) -> Step {
    let bytes = t.bytes * t.elements.len();
    env.counts.shared_access(addresses, mask, bytes);
    for lane in lanes_of(mask) {
        let at = env.shared.range(addresses[lane], bytes, lane)?;
        env.shared.before_read(at, bytes, env.warp.index, lane)?;
        let data = &env.shared.bytes()[at..at + bytes];
        for number in 0..t.elements.len() {
            out[number][lane] = read_bytes(&data[number * t.bytes..][..t.bytes]);
        }
    }
    Ok(())
}

fn store_shared(env: &mut Env, t: &Transfer, addresses: &[u64; LANES], mask: u32, from: &Values) -> Step {
    let bytes = t.bytes * t.elements.len();
    env.counts.shared_access(addresses, mask, bytes);
    for lane in lanes_of(mask) {
        let at = env.shared.range(addresses[lane], bytes, lane)?;
        env.shared.before_write(at, bytes, env.warp.index, lane)?;
        let data = &mut env.shared.bytes_mut()[at..at + bytes];
        for number in 0..t.elements.len() {
            let value = from[number][lane].to_le_bytes();
            data[number * t.bytes..][..t.bytes].copy_from_slice(&value[..t.bytes]);
        }
    }
    Ok(())
}
