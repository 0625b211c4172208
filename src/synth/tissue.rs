//! Grows a tissue: every voxel belongs to the cell that is nearest in the cell's own measure, in a space bent by
//! smooth noise (a warped Voronoi diagram with head starts for large cells and stretched measures for long ones).
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis};

use crate::synth::connected::mend;
use crate::synth::field::noise_octaves;
use crate::synth::outline::{Outline, Point};
use crate::synth::parameters::TissueParameters;
use crate::synth::seeds::{Seed, place};
use crate::volume::Shape;

/// Edge of the blocks for which the cells in question are found together, and of the larger ones before.
const BLOCK: usize = 8;
const REGION: usize = 32;

/// Grows the cells of a tissue in a volume of the given shape: labels 1, 2, ... without gaps, 0 is background.
///
/// Every cell is 6-connected. The labels depend on the parameters, the shape and the seed alone.
pub fn grow(tissue: &TissueParameters, shape: Shape, seed: u64) -> Array3<u32> {
    let outline = Outline::new(tissue, shape);
    let cells = place(tissue, shape, &outline, seed);
    let space = Space::new(tissue, shape, seed, outline);
    let mut labels = Array3::zeros(shape);
    let all: Vec<u32> = (0..cells.len() as u32).collect();
    labels.axis_chunks_iter_mut(Axis(0), REGION).into_par_iter().enumerate().for_each(|(i, mut slab)| {
        for y in (0..shape[1]).step_by(REGION) {
            for x in (0..shape[2]).step_by(REGION) {
                let region = space.block([i * REGION, y, x], REGION);
                let near = region.contenders(&cells, &all);
                for corner in region.corners() {
                    fill(&mut slab, i * REGION, &space, corner, &cells, &near);
                }
            }
        }
    });
    mend(labels, tissue.min_volume, (tissue.min_gap * tissue.cell_volume()) as usize)
}

/// Labels one block whose first voxel is `corner`; `slab` starts at plane `first`.
fn fill(
    slab: &mut ndarray::ArrayViewMut3<u32>,
    first: usize,
    space: &Space,
    corner: Shape,
    cells: &[Seed],
    near: &[u32],
) {
    let block = space.block(corner, BLOCK);
    let near = block.contenders(cells, near);
    for (at, p) in block.voxels.iter().zip(&block.points) {
        slab[[at[0] - first, at[1], at[2]]] =
            if space.is_inside(*at, *p) { owner(cells, &near, *p, space.reach) } else { 0 };
    }
}

/// The cell that `p` belongs to: two labels are set aside for each, one for either half.
fn owner(cells: &[Seed], near: &[u32], p: Point, reach: f32) -> u32 {
    let mut best = (f32::INFINITY, 0);
    for &i in near {
        let distance = cells[i as usize].distance(p);
        if distance < best.0 {
            best = (distance, i);
        }
    }
    let (distance, i) = best;
    let Some(cell) = cells.get(i as usize).filter(|cell| distance <= reach && !cell.empty) else { return 0 };
    1 + 2 * i + cell.half(p)
}

/// The bent space.
struct Space<'a> {
    tissue: &'a TissueParameters,
    shape: Shape,
    outline: Outline,
    bends: [Array3<f32>; 3],
    bumps: Array3<f32>,
    reach: f32,
}

impl<'a> Space<'a> {
    fn new(tissue: &'a TissueParameters, shape: Shape, seed: u64, outline: Outline) -> Self {
        let field = |length: f32, scale: f32, stream: u64| {
            let mut field = noise_octaves(shape, [length / tissue.anisotropy, length, length], seed, stream);
            field.par_mapv_inplace(|v| scale * v);
            field
        };
        let d = tissue.diameter;
        Space {
            tissue,
            shape,
            outline,
            bends: std::array::from_fn(|a| field(d * tissue.warp_length, d * tissue.warp, 10 + 2 * a as u64)),
            bumps: field(2.0 * d, d * tissue.outline_roughness, 20),
            reach: if tissue.reach < 1.5 { tissue.reach * d } else { f32::INFINITY },
        }
    }

    fn position(&self, at: Shape) -> Point {
        [at[0] as f32 * self.tissue.anisotropy, at[1] as f32, at[2] as f32]
    }

    fn is_inside(&self, at: Shape, bent: Point) -> bool {
        self.outline.distance(bent) + self.bumps[at] < 0.0
    }

    /// The voxels of a block of the given edge, cut at the volume's faces.
    fn block(&self, corner: Shape, edge: usize) -> Block {
        let end: Shape = std::array::from_fn(|a| (corner[a] + edge).min(self.shape[a]));
        let mut voxels = Vec::with_capacity(edge * edge * edge);
        for z in corner[0]..end[0] {
            for y in corner[1]..end[1] {
                voxels.extend((corner[2]..end[2]).map(|x| [z, y, x]));
            }
        }
        let points = voxels
            .iter()
            .map(|&at| {
                let p = self.position(at);
                std::array::from_fn(|a| p[a] + self.bends[a][at])
            })
            .collect();
        Block { corner, end, voxels, points }
    }
}

/// Voxels and their places in the bent space.
struct Block {
    corner: Shape,
    end: Shape,
    voxels: Vec<Shape>,
    points: Vec<Point>,
}

impl Block {
    /// The cells that may be nearest to some point of the block.
    fn contenders(&self, cells: &[Seed], among: &[u32]) -> Vec<u32> {
        let (centre, radius) = self.ball();
        let bounds: Vec<(f32, f32)> = among
            .iter()
            .map(|&i| {
                let cell = &cells[i as usize];
                (cell.distance(centre), cell.steepness() * radius * 1.001)
            })
            .collect();
        let nearest = bounds.iter().map(|(d, slack)| d + slack).fold(f32::INFINITY, f32::min);
        among.iter().zip(&bounds).filter(|(_, (d, slack))| d - slack <= nearest).map(|(&i, _)| i).collect()
    }

    /// A ball around all points.
    fn ball(&self) -> (Point, f32) {
        let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        for p in &self.points {
            for a in 0..3 {
                low[a] = low[a].min(p[a]);
                high[a] = high[a].max(p[a]);
            }
        }
        let centre = std::array::from_fn(|a| 0.5 * (low[a] + high[a]));
        let half: Point = std::array::from_fn(|a| 0.5 * (high[a] - low[a]));
        (centre, crate::synth::random::dot(half, half).sqrt())
    }

    /// First voxels of the small blocks inside.
    fn corners(&self) -> Vec<Shape> {
        let mut corners = Vec::new();
        for z in (self.corner[0]..self.end[0]).step_by(BLOCK) {
            for y in (self.corner[1]..self.end[1]).step_by(BLOCK) {
                corners.extend((self.corner[2]..self.end[2]).step_by(BLOCK).map(|x| [z, y, x]));
            }
        }
        corners
    }
}
