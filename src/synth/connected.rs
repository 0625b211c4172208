//! Makes every cell one connected piece: fragments and slivers go to the neighbour that they touch most.
use std::collections::HashMap;

use ndarray::Array3;

/// Keeps the largest 6-connected piece of every cell; other pieces, cells of fewer than `min_volume` voxels and gaps
/// of fewer than `min_gap` join the cell with the largest contact. Labels become 1, 2, ... in the order of their first voxels.
pub(crate) fn mend(labels: Array3<u32>, min_volume: usize, min_gap: usize) -> Array3<u32> {
    let pieces = Pieces::of(&labels, min_volume, min_gap);
    let owners = pieces.adopt();
    let mut names = vec![0; pieces.sizes.len()];
    let mut count = 0;
    pieces.map.mapv(|piece| {
        let owner = owners[piece as usize] as usize;
        if pieces.labels[owner] == 0 || !pieces.kept[owner] {
            return 0;
        }
        if names[owner] == 0 {
            count += 1;
            names[owner] = count;
        }
        names[owner]
    })
}

/// Gives every 6-connected piece of a cell a label of its own.
pub(crate) fn split(labels: Array3<u32>) -> Array3<u32> {
    let mut pieces = components(&labels);
    pieces.zip_mut_with(&labels, |piece, &label| *piece = if label == 0 { 0 } else { *piece + 1 });
    pieces
}

/// The connected pieces of equal labels, background included.
struct Pieces {
    map: Array3<u32>,
    labels: Vec<u32>,
    sizes: Vec<usize>,
    kept: Vec<bool>,
}

impl Pieces {
    fn of(labels: &Array3<u32>, min_volume: usize, min_gap: usize) -> Self {
        let map = components(labels);
        let count = map.iter().max().map_or(0, |&m| m as usize + 1);
        let (mut names, mut sizes) = (vec![0; count], vec![0_usize; count]);
        for (&piece, &label) in map.iter().zip(labels) {
            names[piece as usize] = label;
            sizes[piece as usize] += 1;
        }
        let mut largest: HashMap<u32, usize> = HashMap::new();
        for piece in 0..count {
            let best = largest.entry(names[piece]).or_insert(piece);
            if sizes[piece] > sizes[*best] {
                *best = piece;
            }
        }
        let kept = (0..count)
            .map(|p| match names[p] {
                0 => sizes[p] >= min_gap,
                name => sizes[p] >= min_volume && largest[&name] == p,
            })
            .collect();
        Pieces { map, labels: names, sizes, kept }
    }

    /// The piece that each piece belongs to in the end: itself where it is kept.
    fn adopt(&self) -> Vec<u32> {
        let contacts = self.contacts();
        let mut owners: Vec<u32> = (0..self.sizes.len() as u32).collect();
        let mut settled = self.kept.clone();
        loop {
            let found: Vec<(usize, u32)> = contacts
                .iter()
                .filter(|(orphan, _)| !settled[**orphan as usize])
                .filter_map(|(&orphan, near)| Some((orphan as usize, self.best(near, &settled)?)))
                .collect();
            if found.is_empty() {
                return owners;
            }
            for &(orphan, parent) in &found {
                owners[orphan] = owners[parent as usize];
                settled[orphan] = true;
            }
        }
    }

    /// Of the settled neighbours, the cell with the largest contact (ties to the smaller number), else background.
    fn best(&self, near: &HashMap<u32, u32>, settled: &[bool]) -> Option<u32> {
        near.iter()
            .filter(|(piece, _)| settled[**piece as usize])
            .max_by_key(|&(&piece, &area)| (self.labels[piece as usize] != 0, area, std::cmp::Reverse(piece)))
            .map(|(&piece, _)| piece)
    }

    /// For every piece that is not kept, the faces that it shares with each neighbour.
    fn contacts(&self) -> HashMap<u32, HashMap<u32, u32>> {
        let mut contacts: HashMap<u32, HashMap<u32, u32>> = HashMap::new();
        let mut touch = |a: u32, b: u32| {
            if !self.kept[a as usize] {
                *contacts.entry(a).or_default().entry(b).or_default() += 1;
            }
        };
        for (at, &piece) in self.map.indexed_iter() {
            for before in behind(at.into()).into_iter().flatten() {
                let other = self.map[before];
                if other != piece {
                    touch(piece, other);
                    touch(other, piece);
                }
            }
        }
        contacts
    }
}

/// Numbers the 6-connected pieces of equal values from 0 in the order of their first voxels.
fn components(labels: &Array3<u32>) -> Array3<u32> {
    let (_, ny, nx) = labels.dim();
    let index = |at: [usize; 3]| ((at[0] * ny + at[1]) * nx + at[2]) as u32;
    let mut parents: Vec<u32> = (0..labels.len() as u32).collect();
    for (at, &label) in labels.indexed_iter() {
        for before in behind(at.into()).into_iter().flatten() {
            if labels[before] == label {
                union(&mut parents, index(at.into()), index(before));
            }
        }
    }
    let (mut numbers, mut count) = (vec![0; parents.len()], 0);
    for i in 0..parents.len() as u32 {
        let root = find(&mut parents, i);
        if root == i {
            numbers[i as usize] = count;
            count += 1;
        } else {
            numbers[i as usize] = numbers[root as usize];
        }
    }
    Array3::from_shape_fn(labels.dim(), |at| numbers[index(at.into()) as usize])
}

/// The three neighbours before a voxel.
fn behind(at: [usize; 3]) -> [Option<[usize; 3]>; 3] {
    std::array::from_fn(|axis| {
        let mut before = at;
        before[axis] = at[axis].checked_sub(1)?;
        Some(before)
    })
}

/// The smallest index of the piece, with the path halved on the way.
fn find(parents: &mut [u32], mut i: u32) -> u32 {
    while parents[i as usize] != i {
        parents[i as usize] = parents[parents[i as usize] as usize];
        i = parents[i as usize];
    }
    i
}

fn union(parents: &mut [u32], a: u32, b: u32) {
    let (a, b) = (find(parents, a), find(parents, b));
    parents[a.max(b) as usize] = a.min(b);
}
