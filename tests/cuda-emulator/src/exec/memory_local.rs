//! Loads and stores of local memory, and loads of parameters (PTX ISA, sections 5.1.5 and 5.1.6).

use super::Env;
use super::lanes::{LANES, lanes_of};
use super::memory::{Transfer, Values, read_bytes};
use crate::check::{Fault, Kind, Step};

/// Where a lane's local bytes lie among those of its warp.
fn local_range(env: &Env, address: u64, bytes: usize, lane: usize) -> Result<usize, Box<Fault>> {
    let size = env.launch.program.local_bytes;
    if address & (bytes as u64 - 1) != 0 {
        return Err(Fault::new(Kind::Misaligned, lane, format!("local address {address:#x}")));
    }
    if address > size as u64 || size as u64 - address < bytes as u64 {
        let detail = format!("{bytes} bytes at {address:#x} of {size} bytes of local memory");
        return Err(Fault::new(Kind::OutOfBounds, lane, detail));
    }
    Ok(lane * size + address as usize)
}

pub fn load_local(
    env: &mut Env,
    t: &Transfer,
    addresses: &[u64; LANES],
    mask: u32,
    out: &mut Values,
) -> Step {
    let bytes = t.bytes * t.elements.len();
    for lane in lanes_of(mask) {
        let at = local_range(env, addresses[lane], bytes, lane)?;
        for (values, part) in out.iter_mut().zip(env.warp.local[at..at + bytes].chunks_exact(t.bytes)) {
            values[lane] = read_bytes(part);
        }
    }
    Ok(())
}

pub fn store_local(env: &mut Env, t: &Transfer, addresses: &[u64; LANES], mask: u32, from: &Values) -> Step {
    let bytes = t.bytes * t.elements.len();
    for lane in lanes_of(mask) {
        let at = local_range(env, addresses[lane], bytes, lane)?;
        for (values, part) in from.iter().zip(env.warp.local[at..at + bytes].chunks_exact_mut(t.bytes)) {
            part.copy_from_slice(&values[lane].to_le_bytes()[..t.bytes]);
        }
    }
    Ok(())
}

pub fn load_param(
    env: &mut Env,
    t: &Transfer,
    addresses: &[u64; LANES],
    mask: u32,
    out: &mut Values,
) -> Step {
    let bytes = t.bytes * t.elements.len();
    for lane in lanes_of(mask) {
        let at = addresses[lane] as usize;
        let Some(data) = env.launch.params.get(at..at.saturating_add(bytes)) else {
            let detail = format!("{bytes} bytes at {at} of {} bytes of parameters", env.launch.params.len());
            return Err(Fault::new(Kind::OutOfBounds, lane, detail));
        };
        for (values, part) in out.iter_mut().zip(data.chunks_exact(t.bytes)) {
            values[lane] = read_bytes(part);
        }
    }
    Ok(())
}
