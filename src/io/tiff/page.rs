//! The pages of a TIFF file: the tags of each that matter for a stack of intensities or labels.
use std::fmt;
use std::path::Path;

use super::directory::{Directory, File, tag};
use super::shaped;
use crate::error::{Error, Result};
use crate::volume::Dtype;

/// All pages of a file.
pub(super) struct Pages<'a> {
    pub(super) file: File<'a>,
    /// The pages at full resolution, in the order of the file.
    pub(super) list: Vec<Page>,
    /// The texts of the first page.
    pub(super) descriptions: Vec<String>,
    /// Edges of a voxel along y and x in the file's unit, from the first page.
    pub(super) edges: [Option<f64>; 2],
}

/// One page: a plane of the stack, or several where it has several samples for each pixel.
pub(super) struct Page {
    /// Its place in the file's chain of pages, previews included.
    pub(super) index: usize,
    /// Whether its first description is a note of tifffile's.
    pub(super) has_note: bool,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Values of each pixel: channels.
    pub(super) samples: usize,
    pub(super) coding: Coding,
    /// How its strips or tiles lie.
    pub(super) chunks: Chunks,
}

/// How the numbers of a page are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    /// The type that they are read as.
    pub(super) dtype: Dtype,
    /// Bits of a number in the file.
    pub(super) bits: usize,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    /// Whether the first bit of a byte is its lowest.
    pub(super) reversed_bits: bool,
}

/// The strips or tiles into which a page is parted.
pub(super) struct Chunks {
    /// Rows and columns of each; the last ones of strips may have fewer rows, tiles are whole.
    pub(super) shape: [usize; 2],
    pub(super) tiled: bool,
    /// Whether each sample has chunks of its own.
    pub(super) planar: bool,
    /// The first byte of each; 0 where the chunk was left out because it holds nothing but 0.
    pub(super) offsets: Vec<usize>,
    /// The bytes of each; may be absent or 0 where nothing is compressed.
    pub(super) lengths: Vec<usize>,
}

/// How the bytes of a chunk are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    Packbits,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Lzw => "LZW",
            Compression::Deflate => "deflate",
            Compression::Packbits => "packbits",
        })
    }
}

/// What was taken from each number before it was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// The number to its left, as an integer.
    Horizontal,
    /// The byte to its left, after the bytes of a row were sorted by significance.
    FloatingPoint,
}

impl<'a> Pages<'a> {
    /// Reads the directories of all pages.
    pub(super) fn read(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let (file, first) = File::open(path, bytes)?;
        let directories = file.chain(first)?;
        let mut list = Vec::with_capacity(directories.len());
        let mut named = 0;
        for (index, directory) in directories.iter().enumerate().filter(|(_, it)| !is_preview(it)) {
            let page = Page::read(path, directory, index)?;
            named += page.chunks.offsets.len() + page.chunks.lengths.len();
            if named > bytes.len() {
                let found = format!("{named} strips or tiles in a file of {} bytes", bytes.len());
                return Err(Error::format(path, found, "pages with strips of their own"));
            }
            list.push(page);
        }
        if list.is_empty() {
            return Err(Error::format(path, "reduced-resolution pages only", "a 3D stack"));
        }
        let edges = [tag::Y_RESOLUTION, tag::X_RESOLUTION].map(|tag| directories[0].reciprocal(tag));
        Ok(Pages { file, list, descriptions: directories[0].descriptions(), edges })
    }

    /// Whether there is one page whose planes could follow each other in the file, described by that page alone.
    pub(super) fn one_stands_for_all(&self) -> bool {
        matches!(&self.list[..], [page] if page.is_plain() && page.samples == 1)
    }
}

/// Pages that repeat a plane at a lower resolution, or say which pixels of one are opaque, do not count.
fn is_preview(directory: &Directory) -> bool {
    const REDUCED: u64 = 1;
    const MASK: u64 = 4;
    matches!(directory.first(tag::NEW_SUBFILE_TYPE), Ok(Some(kind)) if kind & (REDUCED | MASK) != 0)
}

impl Page {
    fn read(path: &Path, directory: &Directory, index: usize) -> Result<Self> {
        let extent = |tag| match directory.first(tag)? {
            Some(extent @ 1..=0xffff_ffff) => Ok(extent as usize),
            other => {
                let found = format!("page {} with a width or height of {}", index + 1, other.unwrap_or(0));
                Err(Error::format(path, found, "at least one pixel"))
            }
        };
        let (width, height) = (extent(tag::IMAGE_WIDTH)?, extent(tag::IMAGE_LENGTH)?);
        refuse_depth(path, directory)?;
        let samples = directory.first(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1).clamp(1, 0xffff) as usize;
        check_interpretation(path, directory, samples)?;
        Ok(Page {
            index,
            has_note: directory.descriptions().first().is_some_and(|text| shaped::is_note(text)),
            width,
            height,
            samples,
            coding: Coding::read(path, directory)?,
            chunks: Chunks::read(path, directory, [height, width], samples)?,
        })
    }

    /// Whether both can be planes of one stack.
    pub(super) fn is_like(&self, other: &Page) -> bool {
        let key = |page: &Page| (page.width, page.height, page.samples, page.coding.dtype);
        key(self) == key(other)
    }

    pub(super) fn describe(&self) -> String {
        let samples = if self.samples == 1 { String::new() } else { format!(" x {} channels", self.samples) };
        format!("{} x {} (y, x) {}{samples}", self.height, self.width, self.coding.dtype)
    }

    /// Whether the rows of its samples lie in the file as they are.
    pub(super) fn is_plain(&self) -> bool {
        let Coding { dtype, bits, compression, reversed_bits, .. } = self.coding;
        compression == Compression::None
            && bits == 8 * dtype.size()
            && !reversed_bits
            && !self.chunks.tiled
            && (self.samples == 1 || self.chunks.planar)
            && self.chunks.offsets.iter().all(|&offset| offset != 0)
    }

    /// The strips of one sample of a plain page: the first byte of each.
    pub(super) fn strips(&self, sample: usize) -> &[usize] {
        let count = self.height.div_ceil(self.chunks.shape[0]);
        &self.chunks.offsets[sample * count..][..count]
    }

    /// Where the rows of one sample of a plain page begin, if each strip follows the one before without a gap.
    pub(super) fn contiguous_start(&self, sample: usize) -> Option<usize> {
        let row_bytes = self.width * self.coding.dtype.size();
        let strip_bytes = self.chunks.shape[0].checked_mul(row_bytes)?;
        let strips = self.strips(sample);
        let follows = |pair: &[usize]| pair[0].checked_add(strip_bytes) == Some(pair[1]);
        strips.windows(2).all(follows).then(|| strips.first().copied()).flatten()
    }
}

/// Refuses pages that hold several planes, one behind the other.
fn refuse_depth(path: &Path, directory: &Directory) -> Result<()> {
    for tag in [tag::IMAGE_DEPTH, tag::TILE_DEPTH] {
        if let Some(depth @ 2..) = directory.first(tag)? {
            let found = format!("pages or tiles of {depth} planes each");
            return Err(Error::format(path, found, "one plane a page: save it without volumetric tiles"));
        }
    }
    Ok(())
}

/// Refuses pages whose numbers are no intensities or labels. A palette and an inverted display are only ways to show
/// numbers, which stay as they were measured.
fn check_interpretation(path: &Path, directory: &Directory, samples: usize) -> Result<()> {
    let kind = match directory.first(tag::PHOTOMETRIC)? {
        None | Some(0..=5 | 34892) => return Ok(()),
        Some(6) => "luminance and two colour differences (YCbCr)".into(),
        Some(8..=10) => "CIE L*a*b*".into(),
        Some(32803) => "a mosaic of colours (CFA)".into(),
        Some(32844 | 32845) => "logarithmic luminance".into(),
        Some(other) => format!("photometric interpretation {other}"),
    };
    let found = format!("a colour image: {kind}, {samples} values a pixel");
    Err(Error::format(path, found, "one intensity or label a voxel: export the membrane channel alone"))
}

impl Coding {
    fn read(path: &Path, directory: &Directory) -> Result<Self> {
        let one = |tag, default| -> Result<u64> {
            let values = directory.unsigned(tag)?.unwrap_or_default();
            match values.iter().all(|value| *value == values[0]) {
                true => Ok(values.first().copied().unwrap_or(default)),
                false => {
                    let found = format!("channels of different types ({values:?} in tag {tag})");
                    Err(Error::format(path, found, "channels of one type"))
                }
            }
        };
        let bits = one(tag::BITS_PER_SAMPLE, 1)?;
        let format = one(tag::SAMPLE_FORMAT, 1)?;
        let compression = compression(path, directory)?;
        let coding = Coding {
            dtype: number_type(path, format, bits)?,
            bits: bits as usize,
            compression,
            predictor: predictor(path, directory, compression)?,
            reversed_bits: directory.first(tag::FILL_ORDER)? == Some(2),
        };
        coding.check_predictor(path)?;
        Ok(coding)
    }

    fn check_predictor(self, path: &Path) -> Result<()> {
        let fits = match self.predictor {
            Predictor::None => true,
            Predictor::Horizontal => matches!(self.bits, 8 | 16 | 32 | 64),
            Predictor::FloatingPoint => self.dtype.is_float(),
        };
        if fits {
            return Ok(());
        }
        let found = format!("predictor {:?} on {} bits of {}", self.predictor, self.bits, self.dtype);
        Err(Error::format(path, found, "an uncompressed TIFF, or one without a predictor"))
    }
}

/// The type as which numbers of the given format (1 unsigned, 2 signed, 3 floating point, 4 undefined) are read.
fn number_type(path: &Path, format: u64, bits: u64) -> Result<Dtype> {
    Ok(match (format, bits) {
        (1 | 4, 1..=8) => Dtype::U8,
        (1 | 4, 9..=16) => Dtype::U16,
        (1 | 4, 17..=32) => Dtype::U32,
        (1 | 4, 64) => Dtype::U64,
        (2, 8) => Dtype::I8,
        (2, 16) => Dtype::I16,
        (2, 32) => Dtype::I32,
        (2, 64) => Dtype::I64,
        (3, 16 | 32) => Dtype::F32,
        (3, 64) => Dtype::F64,
        _ => {
            let kind = match format {
                1 | 4 => "unsigned integers",
                2 => "signed integers",
                3 => "floating point",
                5 | 6 => "complex numbers",
                _ => "an unknown number format",
            };
            let expected = "integers of up to 32 bits or of 64 bits, or floating point of 16, 32 or 64 bits";
            return Err(Error::format(path, format!("voxels of {bits} bits ({kind})"), expected));
        }
    })
}

fn compression(path: &Path, directory: &Directory) -> Result<Compression> {
    let name = match directory.first(tag::COMPRESSION)?.unwrap_or(1) {
        1 => return Ok(Compression::None),
        5 => return Ok(Compression::Lzw),
        8 | 32946 => return Ok(Compression::Deflate),
        32773 => return Ok(Compression::Packbits),
        2..=4 => "fax (CCITT)",
        6 | 7 | 33007 => "JPEG",
        33003 | 33004 | 33005 | 34712 => "JPEG 2000",
        34887 => "LERC",
        34925 => "LZMA",
        34933 => "PNG",
        34934 | 48124 => "JPEG XR",
        50000 | 34926 => "Zstandard",
        50001 | 34927 => "WebP",
        50002 | 52546 => "JPEG XL",
        other => &format!("number {other}"),
    };
    let expected =
        "an uncompressed TIFF, or deflate (zlib), LZW or PackBits: save it again with one of these";
    Err(Error::format(path, format!("voxels compressed with {name}"), expected))
}

fn predictor(path: &Path, directory: &Directory, compression: Compression) -> Result<Predictor> {
    let refused = |found| Err(Error::format(path, found, "no predictor, or one of LZW or deflate"));
    match (directory.first(tag::PREDICTOR)?.unwrap_or(1), compression) {
        (1, _) => Ok(Predictor::None),
        (2, Compression::Lzw | Compression::Deflate) => Ok(Predictor::Horizontal),
        (3, Compression::Lzw | Compression::Deflate) => Ok(Predictor::FloatingPoint),
        (code @ (2 | 3), other) => refused(format!("predictor {code} with the compression {other}")),
        (other, _) => refused(format!("predictor {other}")),
    }
}

impl Chunks {
    fn read(path: &Path, directory: &Directory, size: [usize; 2], samples: usize) -> Result<Self> {
        let planar = samples > 1 && directory.first(tag::PLANAR_CONFIGURATION)? == Some(2);
        let tiled = directory.unsigned(tag::TILE_OFFSETS)?.is_some();
        let shape =
            if tiled { tile_shape(path, directory)? } else { [rows_per_strip(directory, size)?, size[1]] };
        let (offsets, lengths) = match tiled {
            true => (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS),
            false => (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS),
        };
        let places = |tag| -> Result<Vec<usize>> {
            let values = directory.unsigned(tag)?.unwrap_or_default();
            Ok(values.into_iter().map(|value| usize::try_from(value).unwrap_or(usize::MAX)).collect())
        };
        let chunks = Chunks { shape, tiled, planar, offsets: places(offsets)?, lengths: places(lengths)? };
        let wanted = chunks.across(size).checked_mul(if planar { samples } else { 1 });
        if wanted.is_none_or(|wanted| chunks.offsets.len() < wanted) {
            let found = format!("{} strips or tiles of a page", chunks.offsets.len());
            let expected = format!("enough of {:?} for {} x {} pixels", chunks.shape, size[0], size[1]);
            return Err(Error::format(path, found, expected));
        }
        Ok(chunks)
    }

    /// How many chunks cover a page of `size` rows and columns, for one sample.
    pub(super) fn across(&self, size: [usize; 2]) -> usize {
        size[0].div_ceil(self.shape[0]).saturating_mul(size[1].div_ceil(self.shape[1]))
    }
}

fn tile_shape(path: &Path, directory: &Directory) -> Result<[usize; 2]> {
    let extent = |tag| Ok(directory.first(tag)?.filter(|extent| (1..=1 << 24).contains(extent)));
    match (extent(tag::TILE_LENGTH)?, extent(tag::TILE_WIDTH)?) {
        (Some(rows), Some(columns)) => Ok([rows as usize, columns as usize]),
        _ => Err(Error::format(path, "tiles without a size", "an intact TIFF stack")),
    }
}

fn rows_per_strip(directory: &Directory, [height, _]: [usize; 2]) -> Result<usize> {
    let rows = directory.first(tag::ROWS_PER_STRIP)?.unwrap_or(u64::MAX);
    Ok(if rows == 0 { height } else { usize::try_from(rows).unwrap_or(height).min(height) })
}
