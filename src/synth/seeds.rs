//! Cell centres: points that keep their distance from each other, as dense as random placing gets.
use std::collections::HashMap;

use rand::Rng;

use crate::synth::outline::{Outline, Point, extent};
use crate::synth::parameters::TissueParameters;
use crate::synth::random::{self, dot};
use crate::volume::Shape;

/// Random packing of balls fills 38 % of space; with this spacing in diameters the cells get the volume asked for.
const SPACING: f32 = 0.72;
/// Places tried for each cell that there is room for.
const TRIES: f32 = 30.0;

/// A cell before its walls are drawn. The distance of a point to it is |v| stretched along `direction`, less `head_start`.
pub(crate) struct Seed {
    pub(crate) centre: Point,
    diameter: f32,
    direction: Point,
    across: f32,
    along: f32,
    head_start: f32,
    /// Where a wall divides the cell: direction and position.
    pub(crate) division: Option<(Point, f32)>,
    /// Whether the cell is background instead.
    pub(crate) empty: bool,
}

impl Seed {
    /// Distance of the point at `v` from the centre, in the cell's own measure.
    #[inline]
    pub(crate) fn distance(&self, p: Point) -> f32 {
        let v: Point = std::array::from_fn(|a| p[a] - self.centre[a]);
        let along = dot(v, self.direction);
        (self.across * dot(v, v) + self.along * along * along).max(0.0).sqrt() - self.head_start
    }

    /// The greatest change of the distance over a pixel.
    pub(crate) fn steepness(&self) -> f32 {
        self.across.max(self.across + self.along).sqrt()
    }

    /// The half of the divided cell that holds `p`: 0 or 1.
    #[inline]
    pub(crate) fn half(&self, p: Point) -> u32 {
        let Some((normal, offset)) = self.division else { return 0 };
        let v: Point = std::array::from_fn(|a| p[a] - self.centre[a]);
        u32::from(dot(v, normal) > offset)
    }
}

/// Places cells at random inside the outline and one diameter beyond the volume.
pub(crate) fn place(tissue: &TissueParameters, shape: Shape, outline: &Outline, seed: u64) -> Vec<Seed> {
    let mut rng = random::stream(seed, 1);
    let extent = extent(shape, tissue.anisotropy);
    let margin = tissue.diameter;
    let volume: f32 = extent.iter().map(|e| e + 2.0 * margin).product();
    let tries = TRIES * volume / (0.52 * tissue.diameter * tissue.diameter * tissue.diameter) + 100.0;
    let regions = Regions::new(tissue, extent, &mut rng);
    let mut packing = Packing::new(tissue);
    for _ in 0..tries as usize {
        let centre = std::array::from_fn(|a| random::uniform(&mut rng, -margin, extent[a] + margin));
        if let Some(centre) = settle(tissue, outline, centre) {
            let diameter = regions.diameter(centre, &mut rng);
            packing.offer(shaped(tissue, outline, centre, diameter, &mut rng));
        }
    }
    packing.seeds
}

/// Moves a point to the middle of its layer; `None` outside the outline.
fn settle(tissue: &TissueParameters, outline: &Outline, p: Point) -> Option<Point> {
    let depth = -outline.distance(p);
    let shy = if tissue.reach < 1.5 { 0.45 * tissue.diameter } else { 0.2 * tissue.diameter };
    let thickness = tissue.layers * tissue.diameter;
    if thickness <= 0.0 || depth > 1e5 {
        return (depth >= shy).then_some(p);
    }
    let middle = ((depth / thickness).floor() + 0.5) * thickness;
    let normal = outline.normal(p);
    (depth >= 0.0).then(|| std::array::from_fn(|a| p[a] + (depth - middle) * normal[a]))
}

fn shaped(
    tissue: &TissueParameters,
    outline: &Outline,
    centre: Point,
    diameter: f32,
    rng: &mut impl Rng,
) -> Seed {
    let own = random::direction(rng);
    let normal = if tissue.layers > 0.0 { outline.normal(centre) } else { [0.0; 3] };
    let main = if normal == [0.0; 3] { tissue.axis } else { normal };
    let direction = blend(own, main, tissue.alignment.max(if tissue.layers > 0.0 { 0.8 } else { 0.0 }));
    let elongation = tissue.elongation * random::log_normal(rng, 0.15);
    let across = libm::powf(elongation, 2.0 / 3.0);
    let division = random::chance(rng, tissue.division).then(|| {
        let normal = blend(random::direction(rng), direction, 0.5);
        (normal, 0.12 * diameter * random::normal(rng))
    });
    Seed {
        centre,
        diameter,
        direction,
        across,
        along: libm::powf(elongation, -4.0 / 3.0) - across,
        head_start: 0.5 * SPACING * (diameter - tissue.diameter),
        division,
        empty: random::chance(rng, tissue.cavities),
    }
}

/// A direction between a random one and the main one.
fn blend(own: Point, main: Point, alignment: f32) -> Point {
    let sign = if dot(own, main) < 0.0 { -1.0 } else { 1.0 };
    let v: Point = std::array::from_fn(|a| (1.0 - alignment) * own[a] + alignment * sign * main[a]);
    let length = dot(v, v).sqrt();
    if length > 1e-3 { v.map(|x| x / length) } else { own }
}

/// Diameters that change slowly over the tissue: a few random plane waves.
struct Regions<'a> {
    tissue: &'a TissueParameters,
    waves: [(Point, f32); 3],
}

impl<'a> Regions<'a> {
    fn new(tissue: &'a TissueParameters, extent: Point, rng: &mut impl Rng) -> Self {
        let longest = extent.iter().copied().fold(1.0, f32::max);
        let waves = std::array::from_fn(|_| {
            let length = longest * random::uniform(rng, 0.7, 2.0);
            (
                random::direction(rng).map(|x| std::f32::consts::TAU * x / length),
                random::uniform(rng, 0.0, std::f32::consts::TAU),
            )
        });
        Regions { tissue, waves }
    }

    fn diameter(&self, p: Point, rng: &mut impl Rng) -> f32 {
        let t = self.tissue;
        let wave: f32 = self.waves.iter().map(|&(k, phase)| libm::sinf(dot(k, p) + phase)).sum();
        let small = if random::chance(rng, t.small_share) { t.small_ratio } else { 1.0 };
        let factor = small * libm::expf(t.gradient * 0.8 * wave) * random::log_normal(rng, t.spread);
        t.diameter * factor.clamp(0.3, 2.0)
    }
}

/// Accepted cells in buckets of one diameter.
struct Packing {
    seeds: Vec<Seed>,
    buckets: HashMap<[i32; 3], Vec<u32>>,
    bucket: f32,
    /// The greatest distance, in buckets, at which two cells can be too close.
    range: i32,
}

impl Packing {
    fn new(tissue: &TissueParameters) -> Self {
        let stretch = libm::powf(tissue.elongation * 1.6, 2.0 / 3.0)
            .max(libm::powf(tissue.elongation / 1.6, -1.0 / 3.0));
        Packing {
            seeds: Vec::new(),
            buckets: HashMap::new(),
            bucket: tissue.diameter,
            range: (1.4 * SPACING * stretch).ceil().clamp(1.0, 4.0) as i32,
        }
    }

    /// Accepts the cell where no other one is too close.
    fn offer(&mut self, seed: Seed) {
        let home = seed.centre.map(|x| (x / self.bucket).floor() as i32);
        if !self.is_free(&seed, home) {
            return;
        }
        self.buckets.entry(home).or_default().push(self.seeds.len() as u32);
        self.seeds.push(seed);
    }

    fn is_free(&self, seed: &Seed, home: [i32; 3]) -> bool {
        let span = -self.range..=self.range;
        span.clone().all(|z| {
            span.clone().all(|y| {
                span.clone().all(|x| {
                    let bucket = self.buckets.get(&[home[0] + z, home[1] + y, home[2] + x]);
                    bucket.is_none_or(|near| {
                        near.iter().all(|&i| keeps_distance(seed, &self.seeds[i as usize]))
                    })
                })
            })
        })
    }
}

fn keeps_distance(new: &Seed, old: &Seed) -> bool {
    let gap = 0.5 * SPACING * (new.diameter + old.diameter);
    new.distance(old.centre) + new.head_start >= gap && old.distance(new.centre) + old.head_start >= gap
}
