//! Correlations with fewer multiplications: Winograd's algorithm in all three dimensions.
//!
//! A tile of two outputs along each axis takes 64 products for three taps, where the plain sum takes 216, and 27 for
//! two taps instead of 64. Both are done for all channels at once: for each point p of the transformed tile
//! `M[p][tile][:] = V[p][tile][:] U[p]`, a matrix product with the transformed data V and the transformed kernel U.
//! A stride-2 operation is split into the phases of its finer grid first (see `form.rs`), each of which has two taps;
//! products with a kernel element that is always zero are left out.
//!
//! | operation | multiply-adds per voxel of the coarser grid, plain | here |
//! |---|---|---|
//! | 3x3x3, stride 1 | 27 cin cout | 8 cin cout |
//! | 3x3x3, stride 2, either way | 27 cin cout | 15.6 cin cout |
//! | 4x4x4, stride 2, either way | 64 cin cout | 27 cin cout |
//!
//! A tile begins at an even voxel of the coarser grid, so blocks of a volume that begin there have the bits of the
//! whole. Sums have one fixed order.
mod form;
mod gradient;
mod kernel;
mod transform;

use std::cell::RefCell;
use std::ops::Range;

pub use form::{DOUBLE, DOUBLE_TO_INPUT, Form, HALVE, HALVE_TO_INPUT, SAME};
pub use gradient::weight_gradient;

use super::activations::{Activations, Band, RowIndex, Tiling, bordered};
use super::blocks::coordinates;
use super::correlation::Element;
use crate::device::cpu::gather::{self, Row, Windows};
use crate::device::cpu::simd::Isa;
use crate::device::cpu::tiles;
use crate::volume::Ranges;
use form::{OUTPUTS, PHASES, Split};
use kernel::Product;
use transform::{Source, Stretch};

/// Floats of transformed data and products that a thread works on at a time: they should stay in its caches.
const BUDGET: usize = 1 << 17;

/// A correlation, packed to be run.
#[derive(Clone)]
pub struct Winograd {
    form: &'static Form,
    cin: usize,
    bias: Vec<f32>,
    /// For each point the products of its phases.
    products: Vec<Vec<Product>>,
}

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    row: Vec<f32>,
    data: Vec<f32>,
    products: Vec<f32>,
    out: Vec<f32>,
}

thread_local! {
    /// Kept from one unit of work to the next: a megabyte of fresh memory costs as much as computing on it.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Some rows of tiles: what one thread computes at a time.
struct Unit {
    n: usize,
    tile_z: usize,
    tile_rows: Range<usize>,
    /// Tiles along x.
    columns: Range<usize>,
}

impl Winograd {
    /// Packs the kernel that `weight` tells element by element; `bias` has one value per output channel.
    pub fn new(
        form: &'static Form,
        [cout, cin]: [usize; 2],
        bias: &[f32],
        weight: impl Fn(Element) -> f32,
    ) -> Self {
        assert_eq!(bias.len(), cout, "one bias per output channel");
        Winograd { form, cin, bias: bias.to_vec(), products: kernel::pack(form, [cout, cin], weight) }
    }

    /// Computes some voxels of `out`: `epilogue` is given each row's place, its result, and the row's voxels in `out`.
    pub fn run_part(
        &self,
        input: &Activations,
        out: &mut Activations,
        part: &Ranges,
        epilogue: impl Fn(RowIndex, &[f32], &mut [f32]) + Sync,
    ) {
        let band = Band { voxels: bordered(part), origin: self.form.first(), tile: 0 };
        self.run_band(input, out, &band, epilogue);
    }

    /// As [`run_part`](Self::run_part) for an `out` that may be a slab of a larger volume: the row's place is then that
    /// in the slab.
    pub fn run_band(
        &self,
        input: &Activations,
        out: &mut Activations,
        band: &Band,
        epilogue: impl Fn(RowIndex, &[f32], &mut [f32]) + Sync,
    ) {
        let isa = Isa::detect();
        let (edge, first, cout) = (self.form.edge(), self.form.first(), self.bias.len());
        let [rows, columns] = [1, 2].map(|axis| self.form.tiles(&band.voxels[axis]));
        let group = (self.most_tiles() / columns.len()).clamp(1, rows.len());
        let tiling = Tiling { edge, first, rows, group };
        // Voxels before the first wanted one in a row of tiles.
        let skipped = band.voxels[2].start - first - edge * columns.start;
        let row_len = columns.len() * edge * cout;
        out.par_tiles_mut(tiling, band, |at, rows| {
            SCRATCH.with_borrow_mut(|scratch| {
                let unit = Unit { n: at.n, tile_z: at.z, tile_rows: at.rows, columns: columns.clone() };
                self.compute(isa, input, &unit, scratch);
                for row in rows {
                    let start = row.number * row_len + skipped * cout;
                    epilogue(row.at, &scratch.out[start..start + row.voxels.len()], row.voxels);
                }
            });
        });
    }

    /// Tiles whose data and products fit the budget.
    fn most_tiles(&self) -> usize {
        let channels = self.form.inputs() * self.cin + self.form.outputs() * self.bias.len();
        BUDGET / (self.form.algorithm.points.pow(2) * channels)
    }

    /// The output voxels of a unit: `scratch.out` becomes `[z][y][x][cout]`, tiles side by side.
    fn compute(&self, isa: Isa, input: &Activations, unit: &Unit, scratch: &mut Scratch) {
        let (edge, cout) = (self.form.edge(), self.bias.len());
        let voxels = edge * edge * unit.tile_rows.len() * edge * unit.columns.len();
        scratch.out.resize(voxels * cout, 0.0);
        scratch.out.chunks_exact_mut(cout).for_each(|voxel| voxel.copy_from_slice(&self.bias));
        let source = Source {
            activations: input,
            terms: &self.form.algorithm.data_terms(),
            split: self.form.split == Split::Input,
            origin: 0,
        };
        let most = (self.most_tiles() / unit.tile_rows.len()).max(1);
        for first in unit.columns.clone().step_by(most) {
            let columns = first..(first + most).min(unit.columns.end);
            for point_z in 0..self.form.algorithm.points {
                let stretch = Stretch { unit, columns: columns.clone(), point_z };
                let wanted = |point, phase| self.reads(point, phase);
                source.transform(&stretch, wanted, &mut scratch.row, &mut scratch.data);
                self.multiply(isa, &stretch, &scratch.data, &mut scratch.products);
                self.untransform(&stretch, &scratch.products, &mut scratch.out);
            }
        }
    }

    /// Whether some product at a point takes an input phase.
    fn reads(&self, point: usize, phase: usize) -> bool {
        self.products[point].iter().any(|product| product.inputs.contains(&phase))
    }

    /// `[point y, x][phase][tile][cout]` from `[point y, x][phase][tile][cin]`.
    fn multiply(&self, isa: Isa, stretch: &Stretch, data: &[f32], products: &mut Vec<f32>) {
        let (tiles, points, cout) = (stretch.tiles(), self.form.algorithm.points.pow(2), self.bias.len());
        let (data_len, product_len) = (tiles * self.cin, tiles * cout);
        let zeros = [0.0; gather::MOST_CHANNELS];
        products.resize(points * self.form.outputs() * product_len, 0.0);
        for point in 0..points {
            let input = &data[point * self.form.inputs() * data_len..];
            let out = &mut products[point * self.form.outputs() * product_len..];
            for product in &self.products[stretch.point_z * points + point] {
                let starts: Vec<usize> = product.inputs.iter().map(|phase| phase * data_len).collect();
                let windows = Windows {
                    input,
                    starts: &starts,
                    stretch: self.cin,
                    step: self.cin,
                    weights: &product.weights,
                    bias: &zeros[..cout],
                };
                let data = &mut out[product.output * product_len..][..product_len];
                gather::gather(isa, &windows, Row { data, step: cout, count: tiles });
            }
        }
    }

    /// Adds what the points of one plane of points give to the outputs.
    fn untransform(&self, stretch: &Stretch, products: &[f32], out: &mut [f32]) {
        for phase in 0..self.form.outputs() {
            for place in 0..OUTPUTS * OUTPUTS {
                let place = [place / OUTPUTS, place % OUTPUTS];
                self.untransform_place(stretch, phase, place, products, out);
            }
        }
    }

    /// As above, for one phase and the outputs at one place (y, x) of the tile.
    fn untransform_place(
        &self,
        stretch: &Stretch,
        phase: usize,
        [place_y, place_x]: [usize; 2],
        products: &[f32],
        out: &mut [f32],
    ) {
        let (form, cout, edge) = (self.form, self.bias.len(), self.form.edge());
        let (points, tiles) = (form.algorithm.points, stretch.tiles());
        let columns = stretch.columns.len();
        let [phase_z, phase_y, phase_x] = coordinates(phase, PHASES);
        let doubled =
            |place: usize, phase: usize| if edge == OUTPUTS { place } else { OUTPUTS * place + phase };
        let (y, x) = (doubled(place_y, phase_y), doubled(place_x, phase_x));
        let weights: Vec<(usize, f32)> = (0..points * points)
            .filter(|point| {
                let number = stretch.point_z * points * points + point;
                self.products[number].iter().any(|product| product.output == phase)
            })
            .map(|p| (p, form.algorithm.out[place_y][p / points] * form.algorithm.out[place_x][p % points]))
            .filter(|(_, weight)| *weight != 0.0)
            .collect();
        let row_len = stretch.unit.columns.len() * edge * cout;
        let before = stretch.columns.start - stretch.unit.columns.start;
        let rows = edge * stretch.unit.tile_rows.len();
        for row in 0..stretch.unit.tile_rows.len() {
            let sources = weights.iter().map(|(point, weight)| {
                let start = ((point * form.outputs() + phase) * tiles + row * columns) * cout;
                (&products[start..start + columns * cout], *weight)
            });
            let sources: Vec<_> = sources.collect();
            for place_z in 0..OUTPUTS {
                let weight = form.algorithm.out[place_z][stretch.point_z];
                if weight != 0.0 {
                    let number = doubled(place_z, phase_z) * rows + row * edge + y;
                    let start = number * row_len + (before * edge + x) * cout;
                    tiles::accumulate(&sources, cout, edge * cout, &mut [(&mut out[start..], weight)]);
                }
            }
        }
    }
}
