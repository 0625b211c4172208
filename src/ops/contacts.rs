//! Contacts between labelled regions, and their surfaces.
//!
//! area(v, u) = number of voxels of u that are 6-adjacent to v, each counted once however many of its faces
//! touch v; so area(v, u) and area(u, v) may differ, and the areas of two regions do not add up to that of
//! their union. surface(v) = number of voxels outside v, labelled or not, that are 6-adjacent to v. Source:
//! the shell that `Cluster_Super_Vox` in `func/cluster_super_vox.py` grows around a cluster. Sums of
//! integers: no order matters.
//!
//! labels `[z, y, x]` u32, core `[z, y, x]` u8 (voxels where it is 0 count as label 0) -> surfaces and a
//! sorted list of contacts.
use ndarray::ArrayView3;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::blocks::Rows;

/// The touching area of one region on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// The region.
    pub region: u32,
    /// The region that touches it.
    pub neighbour: u32,
    /// Number of voxels of the neighbour that are adjacent to the region.
    pub area: u64,
}

/// How the regions of a label volume touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contacts {
    /// Surface of label n at n - 1, in voxels.
    pub surfaces: Vec<u64>,
    /// All touching pairs in both directions, sorted by region and neighbour.
    pub contacts: Vec<Contact>,
}

/// Operations and bytes moved for `voxels` voxels: six comparisons; a 32-bit and an 8-bit value in.
pub fn cost(voxels: usize) -> (usize, usize) {
    (6 * voxels, 5 * voxels)
}

impl Contacts {
    /// Every touching pair once, the smaller label first, with the smaller of its two areas.
    pub fn pairs(&self) -> impl Iterator<Item = (u32, u32, u64)> {
        self.contacts.iter().filter(|contact| contact.region < contact.neighbour).map(|contact| {
            let back = self.area(contact.neighbour, contact.region);
            (contact.region, contact.neighbour, contact.area.min(back))
        })
    }

    /// The touching area of `neighbour` on `region`, 0 where they do not touch.
    pub fn area(&self, region: u32, neighbour: u32) -> u64 {
        let found = self.contacts.binary_search_by_key(&(region, neighbour), |c| (c.region, c.neighbour));
        found.map_or(0, |place| self.contacts[place].area)
    }
}

/// Counts the contacts of labels 1 to `count` in the voxels where `core` is not 0, or everywhere without it.
pub fn contacts(labels: ArrayView3<u32>, core: Option<ArrayView3<u8>>, count: u32) -> Contacts {
    let labels = labels.as_standard_layout();
    let core = core.as_ref().map(|core| core.as_standard_layout());
    let labels =
        Masked { labels: Rows::new(labels.view()), core: core.as_ref().map(|core| Rows::new(core.view())) };
    let [depth, height, _] = labels.labels.shape();
    let areas = (0..depth)
        .into_par_iter()
        .fold(Areas::default, |mut areas, z| {
            let mut rows = Default::default();
            (0..height).for_each(|y| add_row(&labels, z, y, &mut rows, &mut areas));
            areas
        })
        .reduce(Areas::default, merge);
    summarise(areas, count)
}

/// Adjacent voxels of each (region, label outside it), label 0 included.
type Areas = FxHashMap<(u32, u32), u64>;

/// Labels that count as 0 outside the core.
struct Masked<'a> {
    labels: Rows<'a, u32>,
    core: Option<Rows<'a, u8>>,
}

impl Masked<'_> {
    fn load(&self, z: usize, y: usize, row: &mut Vec<u32>) {
        row.clear();
        let labels = self.labels.at(z, y);
        match self.core {
            None => row.extend_from_slice(labels),
            Some(core) => {
                let masked =
                    labels.iter().zip(core.at(z, y)).map(|(&label, &core)| if core == 0 { 0 } else { label });
                row.extend(masked);
            }
        }
    }
}

fn add_row(labels: &Masked, z: usize, y: usize, rows: &mut [Vec<u32>; 5], areas: &mut Areas) {
    let [depth, height, width] = labels.labels.shape();
    // at a face the voxel stands in for the neighbour that it lacks: its own label never counts
    let (below, above) = (z.saturating_sub(1), (z + 1).min(depth - 1));
    let (front, back) = (y.saturating_sub(1), (y + 1).min(height - 1));
    let places = [(z, y), (below, y), (z, front), (z, back), (above, y)];
    rows.iter_mut().zip(places).for_each(|(row, (z, y))| labels.load(z, y, row));
    let [row, below, front, back, above] = rows;
    for (x, &label) in row.iter().enumerate() {
        let [left, right] = [x.saturating_sub(1), (x + 1).min(width - 1)].map(|x| row[x]);
        add_voxel(label, [below[x], front[x], left, right, back[x], above[x]], areas);
    }
}

fn add_voxel(label: u32, around: [u32; 6], areas: &mut Areas) {
    if around == [label; 6] {
        return;
    }
    for (n, &region) in around.iter().enumerate() {
        if region != 0 && region != label && !around[..n].contains(&region) {
            *areas.entry((region, label)).or_default() += 1;
        }
    }
}

fn merge(mut some: Areas, mut more: Areas) -> Areas {
    if some.len() < more.len() {
        std::mem::swap(&mut some, &mut more);
    }
    more.into_iter().for_each(|(pair, area)| *some.entry(pair).or_default() += area);
    some
}

/// The contacts of regions 1 to `count` from the adjacent voxels of each (region, label outside it), label 0 included, in any
/// order.
pub(crate) fn summarise(areas: impl IntoIterator<Item = ((u32, u32), u64)>, count: u32) -> Contacts {
    let mut surfaces = vec![0; count as usize];
    let mut contacts = Vec::new();
    for ((region, neighbour), area) in areas {
        surfaces[region as usize - 1] += area;
        if neighbour != 0 {
            contacts.push(Contact { region, neighbour, area });
        }
    }
    contacts.par_sort_unstable();
    Contacts { surfaces, contacts }
}
