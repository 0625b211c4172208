//! The region that cells fill, as a signed distance: negative inside, in pixels.
use crate::synth::parameters::{OutlineKind, TissueParameters};
use crate::synth::random::dot;
use crate::volume::Shape;

/// Positions here and in the modules beside it are true lengths in pixels (z, y, x), the first voxel's centre at 0.
pub(crate) type Point = [f32; 3];

/// An outline placed in a volume.
pub(crate) struct Outline {
    kind: OutlineKind,
    centre: Point,
    half: Point,
    axis: Point,
}

impl Outline {
    pub(crate) fn new(tissue: &TissueParameters, shape: Shape) -> Self {
        let extent = extent(shape, tissue.anisotropy);
        let length = dot(tissue.outline_axis, tissue.outline_axis).sqrt();
        let axis = if length > 0.0 { tissue.outline_axis.map(|x| x / length) } else { [1.0, 0.0, 0.0] };
        Outline {
            kind: tissue.outline,
            centre: std::array::from_fn(|a| 0.5 * extent[a] * (1.0 + tissue.outline_centre[a])),
            half: std::array::from_fn(|a| 0.5 * extent[a].max(8.0) * tissue.outline_size[a]),
            axis,
        }
    }

    /// Signed distance of `p` to the smooth outline (near the surface; a bound elsewhere).
    pub(crate) fn distance(&self, p: Point) -> f32 {
        let q: Point = std::array::from_fn(|a| p[a] - self.centre[a]);
        match self.kind {
            OutlineKind::Full => -1e6,
            OutlineKind::Empty => 1e6,
            OutlineKind::Ellipsoid => self.ellipsoid(q),
            OutlineKind::Slab => dot(q, self.axis).abs() - self.slab_half(),
            OutlineKind::Tube => self.tube(q),
            OutlineKind::Shell => (self.ellipsoid(q) + self.wall()).abs() - self.wall(),
        }
    }

    /// Share of a volume that lies inside the smooth outline, from a grid of at most 24 points an axis.
    pub(crate) fn share_inside(&self, shape: Shape, anisotropy: f32) -> f32 {
        let points = shape.map(|n| n.min(24));
        let at = |i: usize, a: usize| (i as f32 + 0.5) * shape[a] as f32 / points[a] as f32;
        let mut inside = 0;
        for z in 0..points[0] {
            for y in 0..points[1] {
                let row = (0..points[2]).map(|x| [at(z, 0) * anisotropy, at(y, 1), at(x, 2)]);
                inside += row.filter(|&p| self.distance(p) < 0.0).count();
            }
        }
        inside as f32 / points.iter().product::<usize>() as f32
    }

    /// The direction in which the distance grows fastest; zero where it does not change.
    pub(crate) fn normal(&self, p: Point) -> Point {
        let slope: Point = std::array::from_fn(|a| {
            let (mut low, mut high) = (p, p);
            low[a] -= 1.0;
            high[a] += 1.0;
            self.distance(high) - self.distance(low)
        });
        let length = dot(slope, slope).sqrt();
        if length > 1e-3 { slope.map(|x| x / length) } else { [0.0; 3] }
    }

    /// First-order distance to an ellipsoid: its implicit function over the length of that one's gradient.
    fn ellipsoid(&self, q: Point) -> f32 {
        let scaled: Point = std::array::from_fn(|a| q[a] / self.half[a]);
        let slope: Point = std::array::from_fn(|a| scaled[a] / self.half[a]);
        let (k, g) = (dot(scaled, scaled).sqrt(), dot(slope, slope).sqrt());
        if g > 1e-6 { k * (k - 1.0) / g } else { -self.half.iter().copied().fold(f32::MAX, f32::min) }
    }

    fn slab_half(&self) -> f32 {
        (0..3).map(|a| self.half[a] * self.axis[a].abs()).fold(0.0, f32::max)
    }

    fn tube(&self, q: Point) -> f32 {
        let along = dot(q, self.axis);
        let radius = self.half.iter().sum::<f32>() / 3.0;
        (dot(q, q) - along * along).max(0.0).sqrt() - radius
    }

    /// Half thickness of the wall of a hollow outline.
    fn wall(&self) -> f32 {
        0.25 * self.half.iter().sum::<f32>() / 3.0
    }
}

/// Extent of a volume in pixels.
pub(crate) fn extent(shape: Shape, anisotropy: f32) -> Point {
    [shape[0] as f32 * anisotropy, shape[1] as f32, shape[2] as f32]
}
