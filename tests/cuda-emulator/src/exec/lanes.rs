//! The registers of one warp, lane beside lane, and the loops over lanes that the compiler vectorises.
//!
//! A slot holds 32 lanes of 32 bits; a 64-bit register takes two. Registers of 16 bits use the lower half of a
//! cell, and whoever reads one ignores the rest. Immediates, symbols and most special registers are slots as well,
//! filled before the warp starts, so that no instruction asks where an operand comes from.

pub const LANES: usize = 32;
pub const FULL: u32 = u32::MAX;

/// Index of a register's first slot.
pub type Slot = usize;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Row([u32; LANES]);

impl Row {
    pub const ZERO: Row = Row([0; LANES]);
}

pub struct Registers {
    rows: Vec<Row>,
    /// One bit a lane for each predicate.
    pub predicates: Vec<u32>,
}

/// What a slot stores for one lane.
pub trait Cell: Copy + Default + Send + Sync + 'static {
    fn lanes(registers: &Registers, slot: Slot) -> &[Self; LANES];
    fn lanes_mut(registers: &mut Registers, slot: Slot) -> &mut [Self; LANES];
}

impl Cell for u32 {
    #[inline(always)]
    fn lanes(registers: &Registers, slot: Slot) -> &[u32; LANES] {
        &registers.rows[slot].0
    }

    #[inline(always)]
    fn lanes_mut(registers: &mut Registers, slot: Slot) -> &mut [u32; LANES] {
        &mut registers.rows[slot].0
    }
}

impl Cell for u64 {
    #[inline(always)]
    fn lanes(registers: &Registers, slot: Slot) -> &[u64; LANES] {
        let pair = &registers.rows[slot..slot + 2];
        // SAFETY: two rows are 256 contiguous bytes, aligned to 64, and every bit pattern is a u64.
        unsafe { &*pair.as_ptr().cast() }
    }

    #[inline(always)]
    fn lanes_mut(registers: &mut Registers, slot: Slot) -> &mut [u64; LANES] {
        let pair = &mut registers.rows[slot..slot + 2];
        // SAFETY: as above, and the pair is borrowed mutably.
        unsafe { &mut *pair.as_mut_ptr().cast() }
    }
}

/// A value as an instruction sees it.
pub trait Lane: Copy + Default + Send + Sync + 'static {
    type Cell: Cell;
    fn from_cell(cell: Self::Cell) -> Self;
    fn to_cell(self) -> Self::Cell;
}

/// Integers: narrower ones are extended by their sign into the cell.
macro_rules! integer_lanes {
    ($($ty:ty, $cell:ty, $extended:ty;)*) => {$(
        impl Lane for $ty {
            type Cell = $cell;
            #[inline(always)]
            fn from_cell(cell: $cell) -> Self {
                cell as $ty
            }
            #[inline(always)]
            fn to_cell(self) -> $cell {
                self as $extended as $cell
            }
        }
    )*};
}
integer_lanes! {
    u8, u32, u32; i8, u32, i32; u16, u32, u32; i16, u32, i32;
    u32, u32, u32; i32, u32, i32; u64, u64, u64; i64, u64, i64;
}

impl Lane for f32 {
    type Cell = u32;
    #[inline(always)]
    fn from_cell(cell: u32) -> Self {
        f32::from_bits(cell)
    }
    #[inline(always)]
    fn to_cell(self) -> u32 {
        self.to_bits()
    }
}

impl Lane for f64 {
    type Cell = u64;
    #[inline(always)]
    fn from_cell(cell: u64) -> Self {
        f64::from_bits(cell)
    }
    #[inline(always)]
    fn to_cell(self) -> u64 {
        self.to_bits()
    }
}

impl Registers {
    pub fn new(slots: usize, predicates: usize) -> Self {
        Self { rows: vec![Row::ZERO; slots], predicates: vec![0; predicates] }
    }

    #[inline(always)]
    pub fn get<C: Cell>(&self, slot: Slot) -> &[C; LANES] {
        C::lanes(self, slot)
    }

    /// Writes the lanes of `mask`.
    #[inline(always)]
    pub fn set<C: Cell>(&mut self, slot: Slot, values: &[C; LANES], mask: u32) {
        let target = C::lanes_mut(self, slot);
        if mask == FULL {
            *target = *values;
            return;
        }
        for lane in 0..LANES {
            target[lane] = if mask & (1 << lane) != 0 { values[lane] } else { target[lane] };
        }
    }

    pub fn fill<C: Cell>(&mut self, slot: Slot, value: C) {
        *C::lanes_mut(self, slot) = [value; LANES];
    }

    #[inline(always)]
    pub fn set_predicate(&mut self, index: usize, bits: u32, mask: u32) {
        self.predicates[index] = (self.predicates[index] & !mask) | (bits & mask);
    }

    #[inline(always)]
    pub fn map1<A: Lane, R: Lane>(&mut self, d: Slot, a: Slot, mask: u32, f: impl Fn(A) -> R) {
        let mut out = [R::Cell::default(); LANES];
        let a = self.get::<A::Cell>(a);
        for lane in 0..LANES {
            out[lane] = f(A::from_cell(a[lane])).to_cell();
        }
        self.set(d, &out, mask);
    }

    #[inline(always)]
    pub fn map2<A: Lane, B: Lane, R: Lane>(
        &mut self,
        d: Slot,
        [a, b]: [Slot; 2],
        mask: u32,
        f: impl Fn(A, B) -> R,
    ) {
        let mut out = [R::Cell::default(); LANES];
        let (a, b) = (self.get::<A::Cell>(a), self.get::<B::Cell>(b));
        for lane in 0..LANES {
            out[lane] = f(A::from_cell(a[lane]), B::from_cell(b[lane])).to_cell();
        }
        self.set(d, &out, mask);
    }

    #[inline(always)]
    pub fn map3<A: Lane, B: Lane, C: Lane, R: Lane>(
        &mut self,
        d: Slot,
        [a, b, c]: [Slot; 3],
        mask: u32,
        f: impl Fn(A, B, C) -> R,
    ) {
        let mut out = [R::Cell::default(); LANES];
        let (a, b, c) = (self.get::<A::Cell>(a), self.get::<B::Cell>(b), self.get::<C::Cell>(c));
        for lane in 0..LANES {
            out[lane] = f(A::from_cell(a[lane]), B::from_cell(b[lane]), C::from_cell(c[lane])).to_cell();
        }
        self.set(d, &out, mask);
    }

    /// One bit a lane: `f` of two values.
    #[inline(always)]
    pub fn test2<A: Lane>(&self, [a, b]: [Slot; 2], f: impl Fn(A, A) -> bool) -> u32 {
        let (a, b) = (self.get::<A::Cell>(a), self.get::<A::Cell>(b));
        let mut bits = 0;
        for lane in 0..LANES {
            bits |= u32::from(f(A::from_cell(a[lane]), A::from_cell(b[lane]))) << lane;
        }
        bits
    }
}

/// `f` of every lane: a plain loop, which the compiler vectorises where it leaves `array::map` a call.
#[inline(always)]
pub fn each<A: Copy, B: Copy + Default>(values: &[A; LANES], f: impl Fn(A) -> B) -> [B; LANES] {
    let mut out = [B::default(); LANES];
    for lane in 0..LANES {
        out[lane] = f(values[lane]);
    }
    out
}

/// The lanes of a mask, in order.
#[inline(always)]
pub fn lanes_of(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (lane < LANES).then_some(lane)
    })
}
