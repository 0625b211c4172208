//! Which clusters are cells, and their numbers.
use super::Options;
use crate::ops::contacts::Contacts;
use crate::ops::regions::Region;

/// Which clusters are dropped.
pub(super) struct Selection {
    /// Those of fewer voxels.
    min_size: u64,
    /// Those that touch one of which they have less than this fraction of the size.
    fragment_fraction: f64,
}

impl From<&Options> for Selection {
    fn from(options: &Options) -> Self {
        Self { min_size: options.min_cell_size, fragment_fraction: options.fragment_fraction }
    }
}

/// Numbers the cells from 1 in the order of their first voxels.
///
/// `clusters` holds for super voxel n at n - 1 the label of its cluster's representative; the result is a
/// table from super voxels to cells (entry 0 is 0) and the number of cells.
pub(super) fn select(
    clusters: &[u32],
    regions: &[Region],
    touching: &Contacts,
    selection: &Selection,
) -> (Vec<u32>, u32) {
    let covered = of_clusters(clusters, regions);
    let least = least_sizes(clusters, &covered, touching, selection);
    let is_cell = |cluster: &u32| {
        let voxels = covered[*cluster as usize].voxels;
        voxels > 0 && voxels as f64 >= least[*cluster as usize]
    };
    let mut cells: Vec<u32> = (0..covered.len() as u32).filter(is_cell).collect();
    cells.sort_unstable_by_key(|&cluster| covered[cluster as usize].first);
    let mut number = vec![0; covered.len()];
    cells.iter().zip(1..).for_each(|(&cluster, cell)| number[cluster as usize] = cell);
    let table = std::iter::once(0).chain(clusters.iter().map(|&cluster| number[cluster as usize]));
    (table.collect(), cells.len() as u32)
}

/// What each cluster covers, by the label of its representative; entry 0 covers nothing.
fn of_clusters(clusters: &[u32], regions: &[Region]) -> Vec<Region> {
    let mut covered = vec![Region::NONE; clusters.len() + 1];
    for (&cluster, &region) in clusters.iter().zip(regions) {
        let covered = &mut covered[cluster as usize];
        *covered = covered.with(region);
    }
    covered
}

/// The least size of each cluster that makes it a cell.
fn least_sizes(clusters: &[u32], covered: &[Region], touching: &Contacts, selection: &Selection) -> Vec<f64> {
    let mut least = vec![selection.min_size as f64; covered.len()];
    for contact in &touching.contacts {
        let [one, other] =
            [contact.region, contact.neighbour].map(|label| clusters[label as usize - 1] as usize);
        if one != other {
            least[one] = least[one].max(selection.fragment_fraction * covered[other].voxels as f64);
        }
    }
    least
}
