//! TASCAN as the authors' code does it (`Cluster_Super_Vox.fit` in `func/cluster_super_vox.py`), in linear
//! time.
//!
//! Clusters grow one after the other, from the largest super voxel on. A cluster absorbs every super voxel
//! not yet in a cluster of which it touches `min_area` voxels, or `min_fraction` of its shell; then its shell
//! is found anew, until nothing more is absorbed. The shell holds labelled voxels only, and a super voxel
//! that absorbs nothing stays free for later clusters: the result depends on the order, and a single shared
//! voxel joins two super voxels that touch nothing else.
use rustc_hash::{FxHashMap, FxHashSet};

use super::Rule;
use crate::ops::regions::Region;
use crate::ops::shells::Shells;

/// The authors' order: from the largest super voxel to the smallest, among equals from the greatest label.
pub fn by_size(regions: &[Region]) -> Vec<u32> {
    let present = regions.iter().zip(1..).filter(|(region, _)| region.voxels > 0);
    let mut order: Vec<(u64, u32)> = present.map(|(region, label)| (region.voxels, label)).collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    order.into_iter().map(|(_, label)| label).collect()
}

/// The clusters: for super voxel n (entry n - 1) the label of the one that its cluster grew from.
///
/// Of the rule, `min_area` and `min_fraction` count.
pub fn fit(shells: &Shells, order: &[u32], rule: &Rule) -> Vec<u32> {
    let mut cluster_of = vec![None; shells.count() + 1];
    for &seed in order {
        if cluster_of[seed as usize].is_none() {
            grow(seed, shells, rule, &mut cluster_of);
        }
    }
    (1..cluster_of.len()).map(|label| cluster_of[label].unwrap_or(label as u32)).collect()
}

/// Grows a cluster from a free super voxel, which stays free if it absorbs nothing.
fn grow(seed: u32, shells: &Shells, rule: &Rule, cluster_of: &mut [Option<u32>]) {
    let mut shell = Shell::default();
    let mut newest = vec![seed];
    let mut absorbed = 0;
    cluster_of[seed as usize] = Some(seed);
    loop {
        for member in newest.drain(..) {
            shell.add(shells, member, |label| cluster_of[label as usize] == Some(seed));
        }
        let free = |label: &u32| cluster_of[*label as usize].is_none();
        newest.extend(shell.touching(rule).filter(free));
        if newest.is_empty() {
            break;
        }
        absorbed += newest.len();
        for &label in &newest {
            cluster_of[label as usize] = Some(seed);
            shell.absorb(label);
        }
    }
    if absorbed == 0 {
        cluster_of[seed as usize] = None;
    }
}

/// The shell of a growing cluster.
#[derive(Default)]
struct Shell {
    seen: FxHashSet<usize>,
    area: FxHashMap<u32, u64>,
    total: u64,
}

impl Shell {
    /// Adds the shell of a new member, but for the voxels of other members.
    fn add(&mut self, shells: &Shells, member: u32, is_member: impl Fn(u32) -> bool) {
        for found in shells.of(member).iter().filter(|found| !is_member(found.label)) {
            if self.seen.insert(found.voxel) {
                *self.area.entry(found.label).or_default() += 1;
                self.total += 1;
            }
        }
    }

    /// Takes the voxels of a new member out of the shell.
    fn absorb(&mut self, label: u32) {
        self.total -= self.area.remove(&label).unwrap_or_default();
    }

    /// The super voxels that the cluster touches enough.
    fn touching(&self, rule: &Rule) -> impl Iterator<Item = u32> {
        let enough =
            |area: u64| area >= rule.min_area || area as f64 / self.total as f64 >= rule.min_fraction;
        self.area.iter().filter(move |(_, area)| enough(**area)).map(|(label, _)| *label)
    }
}
