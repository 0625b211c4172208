//! The pages of a TIFF file: the tags of each that matter for a stack of grey values or labels.
use std::io::Cursor;
use std::path::Path;

use ::tiff::decoder::{Decoder, Limits};
use ::tiff::tags::{CompressionMethod, PhotometricInterpretation, SampleFormat, Tag};
use ::tiff::{TiffError, TiffResult};

use crate::error::{Error, Result};
use crate::volume::Dtype;

/// All full-resolution pages of a file.
pub(super) struct Pages {
    pub(super) list: Vec<Page>,
    /// The text of the first page.
    pub(super) description: String,
    /// Edges of a voxel along y and x in the file's unit, from the first page.
    pub(super) edges: [Option<f64>; 2],
    /// Whether numbers are stored in another byte order than this machine's.
    pub(super) swapped: bool,
    /// Whether it is the variant for more than 4 GB.
    pub(super) big: bool,
}

/// One page: a plane of the stack.
pub(super) struct Page {
    /// Its place in the file's chain of pages.
    pub(super) index: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) dtype: Dtype,
    pub(super) compression: Compression,
    /// Whether the file says that 0 is white, which changes how it looks but not what its numbers are.
    pub(super) white_is_zero: bool,
    /// Byte at which each strip begins; empty for tiles.
    pub(super) strips: Vec<usize>,
    pub(super) rows_per_strip: usize,
}

/// How the voxels of a page are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    Packbits,
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Lzw => "LZW",
            Compression::Deflate => "deflate",
            Compression::Packbits => "packbits",
        })
    }
}

/// A decoder that stands at the first page and allocates no more for a tag than the file is long.
pub(super) type FileDecoder<'a> = Decoder<Cursor<&'a [u8]>>;

pub(super) fn decoder(bytes: &[u8]) -> TiffResult<FileDecoder<'_>> {
    let mut limits = Limits::unlimited();
    limits.ifd_value_size = bytes.len();
    // A tag of as many bytes as the file is held in memory as enumerators of 32 bytes each.
    limits.decoding_buffer_size = bytes.len().saturating_mul(32);
    Ok(Decoder::new(Cursor::new(bytes))?.with_limits(limits))
}

impl Pages {
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        let mut decoder = decoder(bytes).map_err(|e| broken(path, &e))?;
        let description = text(&mut decoder);
        let edges = [Tag::YResolution, Tag::XResolution].map(|tag| edge(&mut decoder, tag));
        let swapped = decoder.byte_order() != ::tiff::tags::ByteOrder::native();
        let big = bytes[2..4].contains(&43);
        let mut list = Vec::new();
        for index in 0.. {
            if !is_preview(&mut decoder) {
                list.push(Page::read(path, &mut decoder, index)?);
            }
            if !decoder.more_images() {
                break;
            }
            decoder.next_image().map_err(|e| broken(path, &e))?;
        }
        match list.is_empty() {
            true => Err(Error::format(path, "reduced-resolution pages only", "a 3D stack")),
            false => Ok(Pages { list, description, edges, swapped, big }),
        }
    }
}

impl Page {
    fn read(path: &Path, decoder: &mut FileDecoder, index: usize) -> Result<Self> {
        let named = |e: TiffError| broken(path, &e);
        let (width, height) = decoder.dimensions().map_err(named)?;
        let white_is_zero = grey_interpretation(path, decoder)?;
        let dtype = number_type(path, decoder)?;
        let compression = compression(path, decoder)?;
        let strips = decoder.find_tag_unsigned_vec(Tag::StripOffsets).map_err(named)?.unwrap_or_default();
        let rows = decoder.find_tag_unsigned(Tag::RowsPerStrip).ok().flatten().unwrap_or(u32::MAX);
        Ok(Page {
            index,
            width: width as usize,
            height: height as usize,
            dtype,
            compression,
            white_is_zero,
            strips,
            rows_per_strip: rows.clamp(1, height) as usize,
        })
    }

    /// Whether both can be planes of one stack.
    pub(super) fn is_like(&self, other: &Page) -> bool {
        (self.width, self.height, self.dtype) == (other.width, other.height, other.dtype)
    }

    pub(super) fn describe(&self) -> String {
        format!("{} x {} (y, x) {}", self.height, self.width, self.dtype)
    }

    /// Whether its rows lie in the file as they are.
    pub(super) fn is_plain(&self) -> bool {
        self.compression == Compression::None
            && self.strips.len() == self.height.div_ceil(self.rows_per_strip)
    }

    /// Where its rows begin, if each strip follows the one before without a gap.
    pub(super) fn contiguous_start(&self, row_bytes: usize) -> Option<usize> {
        let strip_bytes = self.rows_per_strip.checked_mul(row_bytes)?;
        let follows = |pair: &[usize]| pair[0].checked_add(strip_bytes) == Some(pair[1]);
        self.strips.windows(2).all(follows).then(|| self.strips.first().copied()).flatten()
    }
}

/// An error that says how far the file is a TIFF.
pub(super) fn broken(path: &Path, error: &TiffError) -> Error {
    match error {
        TiffError::FormatError(
            ::tiff::TiffFormatError::TiffSignatureNotFound | ::tiff::TiffFormatError::TiffSignatureInvalid,
        ) => Error::format(path, "no TIFF signature", "a TIFF file"),
        TiffError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::format(path, "a TIFF that ends too early", "a complete file; was it cut short?")
        }
        other => Error::format(path, format!("a TIFF that cannot be read ({other})"), "an intact TIFF stack"),
    }
}

/// Refuses colours; says whether 0 is white. A palette is only a way to show numbers, as for labels.
fn grey_interpretation(path: &Path, decoder: &mut FileDecoder) -> Result<bool> {
    let named = |e: TiffError| broken(path, &e);
    let samples: u16 = decoder.find_tag_unsigned(Tag::SamplesPerPixel).map_err(named)?.unwrap_or(1);
    let code: u16 = decoder.find_tag_unsigned(Tag::PhotometricInterpretation).map_err(named)?.unwrap_or(1);
    let interpretation = PhotometricInterpretation::from_u16(code);
    match (samples, interpretation) {
        (1, Some(PhotometricInterpretation::WhiteIsZero)) => Ok(true),
        (1, Some(PhotometricInterpretation::BlackIsZero | PhotometricInterpretation::RGBPalette)) => {
            Ok(false)
        }
        _ => {
            let kind = interpretation.map_or("an unknown interpretation".into(), |kind| format!("{kind:?}"));
            let found = format!("a colour image ({samples} values a voxel, {kind})");
            Err(Error::format(
                path,
                found,
                "one grey value or label a voxel: export the membrane channel alone",
            ))
        }
    }
}

fn number_type(path: &Path, decoder: &mut FileDecoder) -> Result<Dtype> {
    let named = |e: TiffError| broken(path, &e);
    let bits: Vec<u16> =
        decoder.find_tag_unsigned_vec(Tag::BitsPerSample).map_err(named)?.unwrap_or_else(|| vec![1]);
    let bits = bits.first().copied().unwrap_or(1);
    let formats: Vec<u16> =
        decoder.find_tag_unsigned_vec(Tag::SampleFormat).map_err(named)?.unwrap_or_else(|| vec![1]);
    let format = SampleFormat::from_u16_exhaustive(formats.first().copied().unwrap_or(1));
    Ok(match (format, bits) {
        (SampleFormat::Uint | SampleFormat::Void, 8) => Dtype::U8,
        (SampleFormat::Uint | SampleFormat::Void, 16) => Dtype::U16,
        (SampleFormat::Uint | SampleFormat::Void, 32) => Dtype::U32,
        (SampleFormat::Uint | SampleFormat::Void, 64) => Dtype::U64,
        (SampleFormat::Int, 8) => Dtype::I8,
        (SampleFormat::Int, 16) => Dtype::I16,
        (SampleFormat::Int, 32) => Dtype::I32,
        (SampleFormat::Int, 64) => Dtype::I64,
        (SampleFormat::IEEEFP, 32) => Dtype::F32,
        (SampleFormat::IEEEFP, 64) => Dtype::F64,
        (format, bits) => {
            let found = format!("voxels of {bits} bits ({format:?})");
            return Err(Error::format(
                path,
                found,
                "integers of 8, 16 or 32 bits or floating point of 32 or 64",
            ));
        }
    })
}

fn compression(path: &Path, decoder: &mut FileDecoder) -> Result<Compression> {
    let code: u16 = decoder.find_tag_unsigned(Tag::Compression).map_err(|e| broken(path, &e))?.unwrap_or(1);
    match CompressionMethod::from_u16_exhaustive(code) {
        CompressionMethod::None => Ok(Compression::None),
        CompressionMethod::LZW => Ok(Compression::Lzw),
        CompressionMethod::Deflate | CompressionMethod::OldDeflate => Ok(Compression::Deflate),
        CompressionMethod::PackBits => Ok(Compression::Packbits),
        other => {
            let found = format!("compression {other:?} ({code})");
            Err(Error::format(path, found, "an uncompressed TIFF, or deflate, LZW or packbits"))
        }
    }
}

/// Pages that repeat a plane at a lower resolution do not count.
fn is_preview(decoder: &mut FileDecoder) -> bool {
    let kind: Option<u32> = decoder.find_tag_unsigned(Tag::NewSubfileType).ok().flatten();
    kind.is_some_and(|kind| kind & 1 == 1)
}

/// The text of a page; bytes that are no UTF-8 are Latin-1, as ImageJ writes its micrometres.
fn text(decoder: &mut FileDecoder) -> String {
    let mut ifd = decoder.image_ifd();
    let mut bytes = ::tiff::tags::ValueBuffer::empty(::tiff::tags::Type::ASCII);
    match ifd.find_tag_buf(Tag::ImageDescription, &mut bytes) {
        Ok(Some(_)) => {
            let bytes = bytes.as_bytes();
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            match std::str::from_utf8(&bytes[..end]) {
                Ok(text) => text.to_owned(),
                Err(_) => bytes[..end].iter().map(|&byte| byte as char).collect(),
            }
        }
        _ => String::new(),
    }
}

/// The edge of a voxel: one divided by the resolution, without rounding twice.
fn edge(decoder: &mut FileDecoder, tag: Tag) -> Option<f64> {
    use ::tiff::decoder::ifd::Value;
    let edge = match decoder.find_tag(tag).ok()?? {
        Value::Rational(n, d) => d as f64 / n as f64,
        Value::Float(resolution) => 1.0 / resolution as f64,
        Value::Double(resolution) => 1.0 / resolution,
        _ => return None,
    };
    (edge.is_finite() && edge > 0.0).then_some(edge)
}
