//! Stain, microscope and camera: every parameter, its default and its limits.
use serde::{Deserialize, Serialize};

use super::within;
use crate::error::{Error, Result};

/// Stain, microscope and camera. The brightness of an average wall is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StainParameters {
    /// Thickness of the walls.
    pub thickness: f32,
    /// The thinnest walls are this share thinner than `thickness`, the thickest as much thicker.
    pub thickness_spread: f32,
    /// Distance between the two membranes of a wall; 0: a single one.
    pub separation: f32,
    /// Standard deviation of the logarithm of the brightness from wall to wall.
    pub wall_spread: f32,
    /// Standard deviation of the logarithm of the membranes' brightness from cell to cell; a wall between two cells
    /// has the mean of theirs.
    pub cell_spread: f32,
    /// The same along a wall.
    pub mottle: f32,
    /// Length of the variations along a wall.
    pub mottle_length: f32,
    /// Share of the walls that are nearly invisible.
    pub missing: f32,
    /// Share of the wall area that is nearly invisible, in holes.
    pub gaps: f32,
    /// Length of the holes.
    pub gap_length: f32,
    /// Brightness of walls that face the background over that of walls between cells.
    pub outer: f32,
    /// Brightness of the lines in which three cells meet, on top of that of their walls.
    pub vertices: f32,
    /// Brightness inside the cells.
    pub haze: f32,
    /// Standard deviation of its logarithm from cell to cell.
    pub haze_spread: f32,
    /// Standard deviation of its logarithm within a cell.
    pub texture: f32,
    /// Length of that texture.
    pub texture_length: f32,
    /// Standard deviation of the logarithm of the brightness of large parts of the cells' insides.
    pub patches: f32,
    /// Length of these parts.
    pub patch_length: f32,
    /// Brightness of nuclei on top of the haze; negative: darker.
    pub nuclei: f32,
    /// Share of the cells with a visible nucleus.
    pub nuclei_share: f32,
    /// Diameter of the nuclei in diameters of their cells.
    pub nucleus_size: f32,
    /// How far nuclei lie from the middles of their cells, in diameters: 0.06 in the middle, 0.25 often at a wall.
    pub nucleus_wander: f32,
    /// Brightness of the rim of the nuclei on top of the rest.
    pub nucleus_rim: f32,
    /// Bright spots per 1000 voxels inside the cells.
    pub spots: f32,
    /// The same outside.
    pub debris: f32,
    /// Brightness of the spots.
    pub spot_brightness: f32,
    /// Radius of the spots.
    pub spot_radius: f32,
    /// Large bright blobs per million voxels.
    pub blobs: f32,
    /// Brightness of the blobs.
    pub blob_brightness: f32,
    /// Radius of the blobs.
    pub blob_radius: f32,
    /// Standard deviation of the point spread function across z.
    pub blur: f32,
    /// The same along z, in multiples of `blur`, as a true length.
    pub axial: f32,
    /// Share of the light that is out of focus, with three times the blur, at the far end of the volume.
    pub defocus: f32,
    /// Share of the light that is scattered into a wide halo.
    pub scatter: f32,
    /// Standard deviation of that halo, at least 4.
    pub scatter_length: f32,
    /// Share of the light that comes from the planes above and below.
    pub crosstalk: f32,
    /// Standard deviation along z of the light from other planes, as a true length.
    pub crosstalk_length: f32,
    /// Standard deviation of the logarithm of shadows that run along y, as in light-sheet images.
    pub stripes: f32,
    /// Brightness outside the cells.
    pub background: f32,
    /// Standard deviation of the logarithm of the brightness outside the cells.
    pub clouds: f32,
    /// Length of the variations outside the cells.
    pub cloud_length: f32,
    /// Standard deviation of the logarithm of the staining over the volume.
    pub uneven: f32,
    /// Length of the uneven staining.
    pub uneven_length: f32,
    /// Logarithm of the loss of light from the first to the last plane (negative: from the last to the first).
    pub attenuation: f32,
    /// Logarithm of the loss of light from the first to the last row (negative: from the last to the first).
    pub sideways: f32,
    /// Photons a voxel of an average wall.
    pub photons: f32,
    /// Standard deviation of the noise of the camera.
    pub noise: f32,
    /// Standard deviation of the logarithm of the brightness from plane to plane.
    pub flicker: f32,
    /// Planes are photographed every so many voxels and the rest interpolated.
    pub plane_step: f32,
    /// Pixels of the camera are this many voxels wide, and what lies between their centres is interpolated.
    pub pixel_step: f32,
    /// Share of the camera's pixels that always show the brightest value.
    pub hot: f32,
    /// Standard deviation of the smoothing of the photographed image.
    pub smoothing: f32,
    /// Grey value of darkness over the full range; negative: the dark end is cut off.
    pub offset: f32,
    /// Share of the voxels at the bright end of the range.
    pub saturation: f32,
    /// Grey values are brightness to this power.
    pub gamma: f32,
    /// Bits a voxel: 8, 12 or 16; 12 are kept in 16.
    pub bits: u8,
    /// Share of the range of grey values that the image takes up.
    pub exposure: f32,
    /// Share of the volume, along `padding_axis`, that was never photographed: one grey value, and no cell is there.
    pub padding: f32,
    /// Direction (z, y, x) in which the part that was never photographed lies: along an axis a slab, else a wedge.
    pub padding_axis: [f32; 3],
    /// Its grey value over the full range.
    pub padding_value: f32,
}

impl Default for StainParameters {
    /// A decent confocal stack of plant tissue.
    fn default() -> Self {
        StainParameters {
            thickness: 1.5,
            thickness_spread: 0.3,
            separation: 0.0,
            wall_spread: 0.25,
            cell_spread: 0.0,
            mottle: 0.25,
            mottle_length: 12.0,
            missing: 0.0,
            gaps: 0.01,
            gap_length: 5.0,
            outer: 1.1,
            vertices: 0.0,
            haze: 0.08,
            haze_spread: 0.4,
            texture: 0.4,
            texture_length: 4.0,
            patches: 0.0,
            patch_length: 15.0,
            nuclei: 0.1,
            nuclei_share: 0.3,
            nucleus_size: 0.4,
            nucleus_wander: 0.06,
            nucleus_rim: 0.0,
            spots: 0.05,
            debris: 0.005,
            spot_brightness: 0.8,
            spot_radius: 1.2,
            blobs: 0.0,
            blob_brightness: 4.0,
            blob_radius: 8.0,
            blur: 1.0,
            axial: 2.5,
            defocus: 0.2,
            scatter: 0.1,
            scatter_length: 14.0,
            crosstalk: 0.0,
            crosstalk_length: 6.0,
            stripes: 0.0,
            background: 0.02,
            clouds: 0.4,
            cloud_length: 30.0,
            uneven: 0.2,
            uneven_length: 80.0,
            attenuation: 0.4,
            sideways: 0.0,
            photons: 60.0,
            noise: 0.02,
            flicker: 0.02,
            plane_step: 1.0,
            pixel_step: 1.0,
            hot: 0.0,
            smoothing: 0.3,
            offset: 0.02,
            saturation: 0.005,
            gamma: 1.0,
            bits: 8,
            exposure: 1.0,
            padding: 0.0,
            padding_axis: [0.0, 0.0, 1.0],
            padding_value: 0.0,
        }
    }
}

impl StainParameters {
    pub(super) fn check(&self) -> Result<()> {
        let lengths = [
            ("thickness", self.thickness),
            ("mottle_length", self.mottle_length),
            ("gap_length", self.gap_length),
            ("texture_length", self.texture_length),
            ("uneven_length", self.uneven_length),
            ("scatter_length", self.scatter_length),
            ("spot_radius", self.spot_radius),
            ("separation", self.separation),
            ("blur", self.blur),
            ("axial", self.axial),
            ("smoothing", self.smoothing),
            ("plane_step", self.plane_step),
            ("pixel_step", self.pixel_step),
            ("patch_length", self.patch_length),
            ("blob_radius", self.blob_radius),
            ("crosstalk_length", self.crosstalk_length),
            ("cloud_length", self.cloud_length),
        ];
        lengths.iter().try_for_each(|(name, value)| within(&format!("stain.{name}"), *value, 0.0, 1000.0))?;
        let strengths = [
            ("wall_spread", self.wall_spread),
            ("cell_spread", self.cell_spread),
            ("mottle", self.mottle),
            ("vertices", self.vertices),
            ("patches", self.patches),
            ("nucleus_wander", self.nucleus_wander),
            ("nucleus_rim", self.nucleus_rim),
            ("clouds", self.clouds),
            ("outer", self.outer),
            ("haze", self.haze),
            ("haze_spread", self.haze_spread),
            ("texture", self.texture),
            ("nucleus_size", self.nucleus_size),
            ("spot_brightness", self.spot_brightness),
            ("background", self.background),
            ("uneven", self.uneven),
            ("stripes", self.stripes),
            ("noise", self.noise),
            ("flicker", self.flicker),
        ];
        strengths.iter().try_for_each(|(name, value)| within(&format!("stain.{name}"), *value, 0.0, 3.0))?;
        let shares = [
            ("thickness_spread", self.thickness_spread),
            ("missing", self.missing),
            ("gaps", self.gaps),
            ("nuclei_share", self.nuclei_share),
            ("defocus", self.defocus),
            ("scatter", self.scatter),
            ("crosstalk", self.crosstalk),
            ("saturation", self.saturation),
            ("hot", self.hot),
            ("exposure", self.exposure),
            ("padding", self.padding),
            ("padding_value", self.padding_value),
        ];
        shares.iter().try_for_each(|(name, value)| within(&format!("stain.{name}"), *value, 0.0, 1.0))?;
        within("stain.nuclei", self.nuclei, -10.0, 10.0)?;
        within("stain.spots", self.spots, 0.0, 100.0)?;
        within("stain.debris", self.debris, 0.0, 100.0)?;
        within("stain.blobs", self.blobs, 0.0, 1000.0)?;
        within("stain.blob_brightness", self.blob_brightness, 0.0, 100.0)?;
        within("stain.attenuation", self.attenuation, -20.0, 20.0)?;
        within("stain.sideways", self.sideways, -20.0, 20.0)?;
        self.padding_axis.iter().try_for_each(|&x| within("stain.padding_axis", x, -1e3, 1e3))?;
        within("stain.photons", self.photons, 0.1, 1e6)?;
        within("stain.offset", self.offset, -1.0, 0.9)?;
        within("stain.gamma", self.gamma, 0.1, 10.0)?;
        match self.bits {
            8 | 12 | 16 => Ok(()),
            bits => Err(Error::invalid(format!("stain.bits = {bits}: 8, 12 and 16 are possible"))),
        }
    }
}
