//! TASCAN: touching-area-based clustering of super voxels into cells (paper, Algorithm 1).
//!
//! Super voxels u and v belong to one cell when their touching area S_uv, the smaller of the two directed
//! counts of [`crate::ops::contacts`], is large: at least `min_area` voxels and `min_relative_area` V^(2/3)
//! with V the volume of the smaller one, or at least `min_fraction` of the whole surface of either. The test
//! is symmetric and the cells are the connected components of the pairs that pass, so no order matters, as
//! the paper says of its algorithm. The authors' code is another matter: [`authors`].
pub mod authors;

use crate::ops::contacts::Contacts;
use crate::ops::disjoint_sets::DisjointSets;
use crate::ops::regions::Region;

/// When two super voxels belong to one cell.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Least touching area, in voxels.
    pub min_area: u64,
    /// Least touching area as a fraction of V^(2/3), the face of a cube of the smaller one's volume.
    pub min_relative_area: f64,
    /// Least fraction of the whole surface of either that touches the other.
    pub min_fraction: f64,
}

/// The clusters: for super voxel n (entry n - 1) the label of its cluster's representative.
///
/// `regions` are the whole super voxels, `contacts` those of their cores.
pub fn full_surface(contacts: &Contacts, regions: &[Region], rule: &Rule) -> Vec<u32> {
    let mut clusters = DisjointSets::new(regions.len());
    for (a, b, area) in contacts.pairs() {
        let [a, b] = [a - 1, b - 1];
        let volume = regions[a as usize].voxels.min(regions[b as usize].voxels) as f64;
        let surface = contacts.surfaces[a as usize].min(contacts.surfaces[b as usize]) as f64;
        let large = area >= rule.min_area && area as f64 >= rule.min_relative_area * volume.powf(2. / 3.);
        if large || area as f64 >= rule.min_fraction * surface {
            clusters.join(a, b);
        }
    }
    (0..regions.len() as u32).map(|n| clusters.find(n) + 1).collect()
}
