//! Disjoint sets of numbers with union by smaller representative.

/// A partition of 0 to n - 1.
pub struct DisjointSets {
    parent: Vec<u32>,
}

impl DisjointSets {
    /// `n` sets of one number each.
    pub fn new(n: usize) -> Self {
        Self { parent: (0..n).map(|number| u32::try_from(number).expect("numbers fit 32 bits")).collect() }
    }

    /// The representative of a number's set.
    pub fn find(&mut self, number: u32) -> u32 {
        let mut at = number as usize;
        while self.parent[at] as usize != at {
            let above = self.parent[self.parent[at] as usize];
            self.parent[at] = above;
            at = above as usize;
        }
        at as u32
    }

    /// Joins two sets; the new set is represented by `a`'s representative.
    pub fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[b as usize] = a;
    }
}
