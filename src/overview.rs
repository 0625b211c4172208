//! A picture of a volume, its classes and its cells: the three middle planes (one a row) as grey values, as classes
//! and as coloured cells with outlines over the grey values.
//!
//! Planes are drawn in true proportions. Between voxels grey values are interpolated, and a pixel takes the label
//! with the greatest share of the four voxels around it, so that enlarged cells have smooth outlines.
use std::path::Path;

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, Zip, s};

use crate::error::{Error, Result};
use crate::intensity::Normalization;
use crate::io::aside;
use crate::volume::Spacing;

type Rgb = [f32; 3];

/// Colours of background, membrane and foreground.
const CLASS_COLOURS: [Rgb; 3] = [[0.055, 0.065, 0.09], [0.96, 0.66, 0.25], [0.16, 0.38, 0.55]];
/// Between and beside the panels.
const GUTTER_COLOUR: Rgb = [1.0; 3];
/// Pixels between two panels.
const GUTTER: usize = 4;
/// Pixels of the widest panel.
const PANEL_WIDTH: f64 = 400.0;
/// How much of a cell's colour covers the grey values; the outline covers them wholly.
const COVER: f32 = 0.65;

/// An image of 8-bit red, green and blue.
pub struct Picture {
    /// Rows, columns, colour.
    pixels: Array3<u8>,
}

/// What is drawn; all arrays have one shape (z, y, x).
pub struct Scene<'a> {
    /// Grey values.
    pub raw: ArrayView3<'a, f32>,
    /// Background 0, membrane 1, foreground 2.
    pub classes: ArrayView3<'a, u8>,
    /// One label a cell, background 0.
    pub labels: ArrayView3<'a, u32>,
    /// Edge lengths of a voxel; cubes where unknown.
    pub spacing: Option<Spacing>,
}

impl Picture {
    /// Draws the scene.
    ///
    /// # Errors
    /// Where the arrays differ in shape, and where the grey values cannot be shown because all are equal or one is no number.
    pub fn of(scene: &Scene) -> Result<Self> {
        let shape = scene.raw.dim();
        if scene.classes.dim() != shape || scene.labels.dim() != shape {
            let (classes, labels) = (scene.classes.dim(), scene.labels.dim());
            return Err(Error::invalid(format!(
                "grey values {shape:?}, classes {classes:?} and labels {labels:?} differ in shape"
            )));
        }
        let scaling = Normalization::Robust.fit(scene.raw)?;
        let edges = scene.spacing.map_or([1.0; 3], |spacing| spacing.0);
        let width = (shape.2 as f64 * edges[2]).max(shape.1 as f64 * edges[1]);
        let rows: Vec<_> = (0..3)
            .map(|axis| {
                let panel = Panel::new(shape.into(), axis, edges, PANEL_WIDTH / width);
                let raw = middle(scene.raw, axis);
                let grey = panel.interpolate(raw).mapv(|x| scaling.apply(x).clamp(0.0, 1.0));
                let classes = panel.majority(middle(scene.classes, axis));
                let cells = panel.majority(middle(scene.labels, axis));
                [grey.mapv(|g| [g; 3]), classes.mapv(class_colour), overlay(&grey, &cells)]
            })
            .collect();
        Ok(Picture { pixels: arrange(&rows) })
    }

    /// Height and width in pixels.
    pub fn size(&self) -> [usize; 2] {
        [self.pixels.dim().0, self.pixels.dim().1]
    }

    /// Writes a PNG file, which appears only when it is complete.
    pub fn write(&self, path: &Path) -> Result<()> {
        let png = self.png().map_err(|error| Error::io(path, std::io::Error::other(error)))?;
        aside::write(path, &png)
    }

    /// The picture as a PNG file.
    pub fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let [height, width] = self.size();
        let mut encoded = Vec::new();
        let mut encoder = png::Encoder::new(&mut encoded, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_slice().expect("made in standard layout"))?;
        writer.finish()?;
        Ok(encoded)
    }
}

/// The plane in the middle of `axis`; of the axes left the earlier one runs down, the later one to the right.
fn middle<T>(volume: ArrayView3<'_, T>, axis: usize) -> ArrayView2<'_, T> {
    let at = volume.len_of(Axis(axis)) / 2;
    volume.index_axis_move(Axis(axis), at)
}

/// Where the pixels of a panel lie among the voxels of a plane.
struct Panel {
    rows: Vec<Between>,
    columns: Vec<Between>,
}

/// A place between two neighbouring voxels: their indices, and the share of the second.
type Between = (usize, usize, f32);

impl Panel {
    /// `scale` is in pixels per micrometre (or per voxel).
    fn new(shape: [usize; 3], axis: usize, edges: [f64; 3], scale: f64) -> Self {
        let [down, right] = [[1, 2], [0, 2], [0, 1]][axis];
        let places = |along: usize| places(shape[along], edges[along] * scale);
        Self { rows: places(down), columns: places(right) }
    }

    fn interpolate(&self, plane: ArrayView2<f32>) -> Array2<f32> {
        self.draw(|(y0, y1, fy), (x0, x1, fx)| {
            let along_x = |y| plane[[y, x0]] * (1.0 - fx) + plane[[y, x1]] * fx;
            along_x(y0) * (1.0 - fy) + along_x(y1) * fy
        })
    }

    fn majority<T: Copy + Ord>(&self, plane: ArrayView2<T>) -> Array2<T> {
        self.draw(|(y0, y1, fy), (x0, x1, fx)| {
            let shares = [
                (plane[[y0, x0]], (1.0 - fy) * (1.0 - fx)),
                (plane[[y0, x1]], (1.0 - fy) * fx),
                (plane[[y1, x0]], fy * (1.0 - fx)),
                (plane[[y1, x1]], fy * fx),
            ];
            let share = |label| shares.iter().filter(|s| s.0 == label).map(|s| s.1).sum::<f32>();
            let best = shares.iter().max_by(|a, b| share(a.0).total_cmp(&share(b.0)).then(b.0.cmp(&a.0)));
            best.expect("four voxels").0
        })
    }

    fn draw<T: Clone>(&self, pixel: impl Fn(Between, Between) -> T) -> Array2<T> {
        let at = |(row, column): (usize, usize)| pixel(self.rows[row], self.columns[column]);
        Array2::from_shape_fn((self.rows.len(), self.columns.len()), at)
    }
}

/// The places of all pixels along an axis of `voxels` voxels, each `pixels` pixels long.
fn places(voxels: usize, pixels: f64) -> Vec<Between> {
    let count = ((voxels as f64 * pixels).round() as usize).max(1);
    let last = voxels - 1;
    (0..count)
        .map(|i| {
            let at = ((i as f64 + 0.5) * voxels as f64 / count as f64 - 0.5).clamp(0.0, last as f64);
            (at as usize, (at as usize + 1).min(last), at.fract() as f32)
        })
        .collect()
}

fn class_colour(class: u8) -> Rgb {
    CLASS_COLOURS[usize::from(class.min(2))]
}

/// A colour for each label, the same in every picture: two irrational steps spread hue and lightness so that
/// labels in a neighbourhood get unlike colours (M. Roberts' R2 sequence).
fn cell_colour(label: u32) -> Rgb {
    let spread = |step: f64| (f64::from(label) * step).fract() as f32;
    oklch(0.6 + 0.22 * spread(0.569_840_290_998), 0.17, std::f32::consts::TAU * spread(0.754_877_666_246_7))
}

/// From Oklab's lightness, chroma and hue (B. Ottosson, 2020), where equal steps look equal, to sRGB.
fn oklch(lightness: f32, chroma: f32, hue: f32) -> Rgb {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    let linear = [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s,
        -0.004_196_086 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ];
    linear.map(|c| match c.clamp(0.0, 1.0) {
        c if c <= 0.003_130_8 => 12.92 * c,
        c => 1.055 * c.powf(1.0 / 2.4) - 0.055,
    })
}

/// Cells in their colours over the grey values; a pixel whose right or lower neighbour is another cell's is outline.
fn overlay(grey: &Array2<f32>, cells: &Array2<u32>) -> Array2<Rgb> {
    let mut drawn = Array2::from_elem(grey.dim(), [0.0; 3]);
    Zip::indexed(&mut drawn).and(grey).and(cells).for_each(|(row, column), pixel, &grey, &label| {
        let other = |at| cells.get(at).is_some_and(|&there| there != label);
        let is_outline = other((row + 1, column)) || other((row, column + 1));
        *pixel = match (is_outline, label) {
            (true, _) => [1.0; 3],
            (false, 0) => [0.6 * grey; 3],
            (false, _) => cell_colour(label).map(|c| COVER * c * (0.7 + 0.3 * grey) + (1.0 - COVER) * grey),
        };
    });
    drawn
}

/// Panels in rows, each in the middle of its column, with gutters between and around them.
fn arrange(rows: &[[Array2<Rgb>; 3]]) -> Array3<u8> {
    let width = rows.iter().map(|row| row[0].ncols()).max().unwrap_or(0);
    let height: usize = rows.iter().map(|row| row[0].nrows() + GUTTER).sum();
    let byte = |c: f32| (c * 255.0).round() as u8;
    let size = (height + GUTTER, 3 * (width + GUTTER) + GUTTER, 3);
    let mut pixels = Array3::from_shape_fn(size, |(_, _, c)| byte(GUTTER_COLOUR[c]));
    let mut top = GUTTER;
    for row in rows {
        for (column, panel) in row.iter().enumerate() {
            let left = GUTTER + column * (width + GUTTER) + (width - panel.ncols()) / 2;
            let place = s![top..top + panel.nrows(), left..left + panel.ncols(), ..];
            let mut place = pixels.slice_mut(place);
            Zip::from(place.lanes_mut(Axis(2))).and(panel).for_each(|mut pixel, colour| {
                pixel.iter_mut().zip(colour).for_each(|(p, &c)| *p = byte(c));
            });
        }
        top += row[0].nrows() + GUTTER;
    }
    pixels
}
