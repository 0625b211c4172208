//! Which clusters are cells, which are debris, and their numbers.
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

/// What becomes of super voxels.
pub(super) struct Numbering {
    /// For each super voxel, from 1, its cell from 1 to `cells`, its debris from there on, or 0; entry 0 is 0.
    pub table: Vec<u32>,
    /// Number of cells.
    pub cells: u32,
    /// Number of pieces of debris.
    pub debris: u32,
}

/// Numbers the cells in the order of their first voxels, and then the debris: clusters that have more faces in common with
/// background than with membrane.
///
/// `clusters` holds for super voxel n at n - 1 the label of its cluster's representative, `regions` and `exposures` what
/// the super voxel covers and how far it lies open.
pub(super) fn select(
    clusters: &[u32],
    regions: &[Region],
    touching: &Contacts,
    exposures: &[i64],
    selection: &Selection,
) -> Numbering {
    let covered = of_clusters(clusters, regions, Region::NONE, Region::with);
    let exposed = of_clusters(clusters, exposures, 0, |a, b| a + b);
    let least = least_sizes(clusters, &covered, touching, selection);
    let is_debris = |cluster: &u32| exposed[*cluster as usize] > 0;
    let is_cell = |cluster: &u32| {
        let voxels = covered[*cluster as usize].voxels;
        voxels > 0 && voxels as f64 >= least[*cluster as usize]
    };
    let (debris, mut cells): (Vec<u32>, Vec<u32>) = (0..covered.len() as u32).partition(is_debris);
    cells.retain(is_cell);
    cells.sort_unstable_by_key(|&cluster| covered[cluster as usize].first);
    let mut number = vec![0; covered.len()];
    cells.iter().chain(&debris).zip(1..).for_each(|(&cluster, n)| number[cluster as usize] = n);
    let table = std::iter::once(0).chain(clusters.iter().map(|&cluster| number[cluster as usize]));
    Numbering { table: table.collect(), cells: cells.len() as u32, debris: debris.len() as u32 }
}

/// The sum over each cluster, by the label of its representative; entry 0 is `none`.
fn of_clusters<T: Copy>(clusters: &[u32], values: &[T], none: T, with: impl Fn(T, T) -> T) -> Vec<T> {
    let mut sums = vec![none; clusters.len() + 1];
    for (&cluster, &value) in clusters.iter().zip(values) {
        let sum = &mut sums[cluster as usize];
        *sum = with(*sum, value);
    }
    sums
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
