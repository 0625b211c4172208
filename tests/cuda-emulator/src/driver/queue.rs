//! Work that waits for its turn. A stream does nothing until a call waits for it, or another stream for one of its events: who
//! forgets a wait finds work that is not done yet. With `CUDA_EMULATOR_ORDER=N` some streams go ahead, as far as the events that
//! they wait for allow, and others do not; which ones is up to chance, N being the seed, and changes on the way. Who forgets a
//! wait finds work that is done too early.
//!
//! The streams of a device are worked on by one thread at a time, whichever waits.

use super::{CUresult, ILLEGAL_ADDRESS, NOT_READY, SUCCESS};
use crate::check;
use crate::memory::device::{Device, MOST_DEVICES};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

/// What a stream does in its turn.
pub enum Item {
    /// A launch or a copy. Left out behind one that failed.
    Work(Box<dyn FnOnce() -> CUresult + Send>),
    /// Releases the memory at an address.
    Release(u64),
    /// Notes the time.
    Record(Arc<Mutex<Option<Instant>>>),
    /// Waits for a point of another stream.
    Wait(Point),
}

/// A place in a stream's work, behind the item of a number.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    stream: u64,
    number: u64,
}

#[derive(Default)]
struct Stream {
    waiting: VecDeque<Item>,
    /// Number of the last item that is done; the first one has 1.
    done: u64,
    /// Whether the default stream waits for it.
    blocks: bool,
    /// Whether it goes ahead.
    is_eager: bool,
}

/// The number of a device's default stream.
pub const DEFAULT: u64 = 0;

/// The streams of a device.
#[derive(Default)]
pub struct Queues {
    streams: BTreeMap<u64, Stream>,
    /// How many streams there were.
    made: u64,
    /// What the first failed work returned, until a call tells it.
    failed: CUresult,
    chance: Option<Chance>,
}

/// Those of a device; streams make no progress while it is locked elsewhere.
pub fn of(device: usize) -> MutexGuard<'static, Queues> {
    static QUEUES: OnceLock<[Mutex<Queues>; MOST_DEVICES]> = OnceLock::new();
    let queues = QUEUES.get_or_init(|| {
        std::array::from_fn(|_| Mutex::new(Queues { chance: Chance::asked_for(), ..Queues::default() }))
    });
    queues[device].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Queues {
    /// The number of a new stream.
    pub fn open(&mut self, blocks: bool) -> u64 {
        self.made += 1;
        let is_eager = self.chance.as_mut().is_some_and(|chance| chance.one_in(2));
        self.streams.insert(self.made, Stream { blocks, is_eager, ..Stream::default() });
        self.made
    }

    /// Does all that a stream has, and forgets it.
    pub fn close(&mut self, stream: u64) {
        self.finish(stream);
        self.streams.remove(&stream);
    }

    /// Gives a stream something to do. The default stream does it at once, behind all of those that block it.
    pub fn put(&mut self, stream: u64, item: Item) -> Point {
        let queue = self.streams.entry(stream).or_default();
        queue.waiting.push_back(item);
        let point = Point { stream, number: queue.done + queue.waiting.len() as u64 };
        if stream == DEFAULT {
            let blocking: Vec<_> = self.streams.iter().filter(|(_, s)| s.blocks).map(|(id, _)| *id).collect();
            blocking.into_iter().for_each(|stream| self.finish(stream));
            self.finish(DEFAULT);
        }
        self.go_ahead();
        point
    }

    /// Where a stream's work ends.
    pub fn end(&self, stream: u64) -> Point {
        let number = self.streams.get(&stream).map_or(0, |queue| queue.done + queue.waiting.len() as u64);
        Point { stream, number }
    }

    pub fn is_reached(&self, point: Point) -> bool {
        self.streams.get(&point.stream).is_none_or(|queue| queue.done >= point.number)
    }

    /// Makes a stream work up to a point.
    pub fn reach(&mut self, point: Point) {
        while !self.is_reached(point) {
            self.step(point.stream);
        }
    }

    pub fn finish(&mut self, stream: u64) {
        self.reach(self.end(stream));
    }

    pub fn finish_all(&mut self) {
        let streams: Vec<_> = self.streams.keys().copied().collect();
        streams.into_iter().for_each(|stream| self.finish(stream));
    }

    /// What a call returns that has waited: the failure that no other one has told.
    pub fn outcome(&mut self) -> CUresult {
        std::mem::replace(&mut self.failed, SUCCESS)
    }

    /// One step closer to a point, for a call that does not wait.
    pub fn step_towards(&mut self, point: Point) -> CUresult {
        self.step(point.stream);
        if self.is_reached(point) { self.outcome() } else { NOT_READY }
    }

    /// The next item of a stream, and before it what it waits for.
    fn step(&mut self, stream: u64) {
        let Some(item) = self.streams.get_mut(&stream).and_then(|queue| queue.waiting.pop_front()) else {
            return;
        };
        match item {
            Item::Work(work) if self.failed == SUCCESS => self.failed = work(),
            Item::Work(_) => {}
            Item::Release(address) => {
                if !Device::lock().release(address) {
                    check::tell_misuse(&format!("{address:#x} is released, where no allocation starts"));
                    self.failed = ILLEGAL_ADDRESS;
                }
            }
            Item::Record(at) => {
                *at.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Instant::now());
            }
            Item::Wait(point) => self.reach(point),
        }
        if let Some(queue) = self.streams.get_mut(&stream) {
            queue.done += 1;
        }
    }

    /// Makes up its mind about a stream now and then, and works on all that are eager as far as they need not wait.
    fn go_ahead(&mut self) {
        let Some(chance) = &mut self.chance else { return };
        for stream in self.streams.values_mut() {
            if chance.one_in(RARELY) {
                stream.is_eager = chance.one_in(2);
            }
        }
        let eager: Vec<_> = self.streams.iter().filter(|(_, s)| s.is_eager).map(|(id, _)| *id).collect();
        for stream in eager {
            loop {
                match self.streams[&stream].waiting.front() {
                    Some(Item::Wait(point)) if !self.is_reached(*point) => break,
                    Some(_) => self.step(stream),
                    None => break,
                }
            }
        }
    }
}

/// How rarely a stream changes its mind: once in so many items that any stream is given.
const RARELY: u64 = 24;

/// A sequence of numbers without a pattern (xorshift).
#[derive(Clone, Copy)]
struct Chance(u64);

impl Chance {
    fn asked_for() -> Option<Self> {
        let seed: u64 = std::env::var("CUDA_EMULATOR_ORDER").ok()?.parse().ok()?;
        Some(Chance((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    fn one_in(&mut self, number: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32).is_multiple_of(number)
    }
}
