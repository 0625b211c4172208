//! Allocations of device memory. All devices share one address space, as with unified addressing. Addresses are handed
//! out once and never again, with a gap between neighbours, so that an access after the end or after the release hits
//! nothing.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// What cudaMalloc promises.
const ALIGN: usize = 512;
const FIRST_ADDRESS: u64 = 0x10_0000_0000;
/// Address space left free after an allocation.
const GAP: u64 = 4096;
/// More devices than this there are not.
pub const MOST_DEVICES: usize = 16;

/// One allocation: the bytes, whether each was written, and who touched each word in the present launch.
pub struct Allocation {
    pub base: u64,
    pub bytes: usize,
    /// Number of the device whose memory it is.
    pub device: usize,
    data: Buffer,
    written: Buffer,
    /// Per 4 bytes the last writer and the readers, as `global` packs them.
    writers: Buffer,
    readers: Buffer,
}

/// Zeroed bytes that any thread may touch through atomics.
struct Buffer {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: the bytes are touched through atomics and by copies that the driver's caller orders.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    fn new(bytes: usize) -> Option<Buffer> {
        let layout = Layout::from_size_align(bytes.max(ALIGN), ALIGN).ok()?;
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        (!start.is_null()).then_some(Buffer { start, layout })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start, self.layout) }
    }
}

impl Allocation {
    fn new(device: usize, base: u64, bytes: usize) -> Option<Allocation> {
        let padded = bytes.next_multiple_of(ALIGN);
        let (data, written) = (Buffer::new(padded)?, Buffer::new(padded)?);
        let (writers, readers) = (Buffer::new(padded * 2)?, Buffer::new(padded * 2)?);
        Some(Allocation { base, bytes, device, data, written, writers, readers })
    }

    pub fn end(&self) -> u64 {
        self.base + self.bytes as u64
    }

    /// Start of the bytes.
    pub fn data(&self) -> *mut u8 {
        self.data.start
    }

    /// Start of the bytes that say of each byte whether it was written (0 or 1).
    pub fn written(&self) -> *mut u8 {
        self.written.start
    }

    #[inline(always)]
    pub fn writer(&self, word: usize) -> &AtomicU64 {
        debug_assert!(word * 4 < self.bytes.next_multiple_of(ALIGN));
        // SAFETY: callers checked the word against the allocation; the buffer has 8 bytes for every word.
        unsafe { &*self.writers.start.cast::<AtomicU64>().add(word) }
    }

    #[inline(always)]
    pub fn reader(&self, word: usize) -> &AtomicU64 {
        debug_assert!(word * 4 < self.bytes.next_multiple_of(ALIGN));
        // SAFETY: as in `writer`.
        unsafe { &*self.readers.start.cast::<AtomicU64>().add(word) }
    }

    pub fn mark_written(&self, offset: usize, bytes: usize) {
        for at in offset..offset + bytes {
            self.flag(at).store(1, Relaxed);
        }
    }

    /// First byte of the range that nothing wrote.
    pub fn first_unwritten(&self, offset: usize, bytes: usize) -> Option<usize> {
        (offset..offset + bytes).find(|&at| self.flag(at).load(Relaxed) == 0)
    }

    fn flag(&self, at: usize) -> &AtomicU8 {
        assert!(at < self.bytes, "offset outside the allocation");
        // SAFETY: in bounds; the flags are only touched through atomics.
        unsafe { &*self.written.start.add(at).cast::<AtomicU8>() }
    }
}

/// All allocations of all devices.
pub struct Device {
    live: BTreeMap<u64, Arc<Allocation>>,
    /// Ranges that were released, for the wording of errors.
    freed: BTreeMap<u64, usize>,
    next: u64,
    /// Bytes of each device.
    used: [usize; MOST_DEVICES],
}

impl Device {
    pub fn lock() -> MutexGuard<'static, Device> {
        static DEVICE: OnceLock<Mutex<Device>> = OnceLock::new();
        let device = DEVICE.get_or_init(|| {
            let (live, freed) = (BTreeMap::new(), BTreeMap::new());
            Mutex::new(Device { live, freed, next: FIRST_ADDRESS, used: [0; MOST_DEVICES] })
        });
        device.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Address of `bytes` new bytes of a device; `None` when there is no room.
    pub fn allocate(&mut self, device: usize, bytes: usize) -> Option<u64> {
        let base = self.next;
        self.live.insert(base, Arc::new(Allocation::new(device, base, bytes)?));
        self.next = (base + bytes as u64 + GAP).next_multiple_of(ALIGN as u64);
        self.used[device] += bytes;
        Some(base)
    }

    /// False where nothing starts at the address.
    pub fn release(&mut self, base: u64) -> bool {
        let Some(gone) = self.live.remove(&base) else { return false };
        self.freed.insert(base, gone.bytes);
        self.used[gone.device] -= gone.bytes;
        true
    }

    pub fn used(&self, device: usize) -> usize {
        self.used[device]
    }

    /// The allocation that holds the whole range, and where in it.
    pub fn find(&self, address: u64, bytes: usize) -> Option<(Arc<Allocation>, usize)> {
        let (_, found) = self.live.range(..=address).next_back()?;
        let offset = (address - found.base) as usize;
        (offset.checked_add(bytes)? <= found.bytes).then(|| (found.clone(), offset))
    }

    /// As a launch on `device` finds them.
    pub fn snapshot(&self, device: usize) -> Snapshot {
        let (live, elsewhere) =
            self.live.values().cloned().partition(|allocation| allocation.device == device);
        Snapshot { live, elsewhere, freed: self.freed.clone() }
    }
}

/// The allocations as a launch finds them, by address.
pub struct Snapshot {
    live: Vec<Arc<Allocation>>,
    /// Those of the other devices, for the wording of errors.
    elsewhere: Vec<Arc<Allocation>>,
    freed: BTreeMap<u64, usize>,
}

impl Snapshot {
    /// The last allocation that starts at or before the address. `hint` is where the last search ended.
    #[inline(always)]
    pub fn before(&self, address: u64, hint: &mut u32) -> Option<&Allocation> {
        if let Some(guess) = self.live.get(*hint as usize)
            && address >= guess.base
            && address < guess.end()
        {
            return Some(guess);
        }
        self.search(address, hint)
    }

    fn search(&self, address: u64, hint: &mut u32) -> Option<&Allocation> {
        let after = self.live.partition_point(|allocation| allocation.base <= address);
        *hint = after.checked_sub(1)? as u32;
        self.live.get(*hint as usize).map(|allocation| &**allocation)
    }

    /// The other device in whose memory the address lies.
    pub fn device_of(&self, address: u64) -> Option<usize> {
        let holds = |allocation: &&Arc<Allocation>| (allocation.base..allocation.end()).contains(&address);
        self.elsewhere.iter().find(holds).map(|allocation| allocation.device)
    }

    /// Whether the address lies in memory that was released.
    pub fn was_freed(&self, address: u64) -> bool {
        self.freed.range(..=address).next_back().is_some_and(|(base, bytes)| address - base < *bytes as u64)
    }
}
