//! ImageJ stacks, uncompressed so that the next program can map them; BigTIFF where 4 GB do not suffice.
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ::tiff::TiffResult;
use ::tiff::encoder::colortype::{self, ColorType};
use ::tiff::encoder::{Rational, TiffEncoder, TiffKind, TiffKindBig, TiffKindStandard, TiffValue};
use ::tiff::tags::Tag;

use super::imagej;
use crate::error::{Error, Result};
use crate::io::aside::Aside;
use crate::volume::{Dtype, Shape, Spacing};

/// Bytes that a page costs beside its voxels, with plenty to spare.
const PAGE_OVERHEAD: u64 = 1024;

/// Writes a stack plane by plane.
pub(crate) struct TiffWriter {
    path: PathBuf,
    file: Shared,
    encoder: Encoder,
    shape: Shape,
    dtype: Dtype,
    spacing: Option<Spacing>,
    described: bool,
}

enum Encoder {
    Classic(TiffEncoder<Shared, TiffKindStandard>),
    Big(TiffEncoder<Shared, TiffKindBig>),
}

impl TiffWriter {
    /// Begins a file of the given shape: BigTIFF where it is needed, or where the ending of the name asks for it.
    pub(crate) fn create(path: &Path, shape: Shape, dtype: Dtype, spacing: Option<Spacing>) -> Result<Self> {
        if shape[1].max(shape[2]) > u32::MAX as usize {
            return Err(Error::format(
                path,
                format!("planes of {} x {}", shape[1], shape[2]),
                "extents below 2^32",
            ));
        }
        let file = Shared(Arc::new(Mutex::new(Some(Aside::create(path)?))));
        let voxels = shape.iter().map(|&extent| extent as u64).product::<u64>();
        let bytes = voxels * dtype.size() as u64 + shape[0] as u64 * PAGE_OVERHEAD;
        let encoder = match asks_for_big(path) || bytes > u32::MAX as u64 {
            false => TiffEncoder::new(file.clone()).map(Encoder::Classic),
            true => TiffEncoder::new_big(file.clone()).map(Encoder::Big),
        };
        let encoder = encoder.map_err(|e| failed(path, e))?;
        Ok(TiffWriter { path: path.to_owned(), file, encoder, shape, dtype, spacing, described: false })
    }

    /// Appends one plane, given as its bytes in this machine's order.
    pub(crate) fn plane(&mut self, plane: &[u8]) -> Result<()> {
        let text = (!self.described).then(|| imagej::describe(self.shape, self.spacing));
        self.described = true;
        let size = [self.shape[1] as u32, self.shape[2] as u32];
        let page = PageText { size, text, spacing: self.spacing };
        let written = match &mut self.encoder {
            Encoder::Classic(encoder) => page.write_as(encoder, self.dtype, plane),
            Encoder::Big(encoder) => page.write_as(encoder, self.dtype, plane),
        };
        written.map_err(|e| failed(&self.path, e))
    }

    /// Gives the complete file its name.
    pub(crate) fn finish(self) -> Result<()> {
        drop(self.encoder);
        let aside = self.file.0.lock().expect("no writer panicked").take();
        aside.expect("finished once").finish()
    }
}

fn asks_for_big(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("btf") || ending.eq_ignore_ascii_case("tf8"))
}

struct PageText {
    /// Rows and columns.
    size: [u32; 2],
    text: Option<String>,
    spacing: Option<Spacing>,
}

impl PageText {
    fn write_as<K: TiffKind>(
        self,
        encoder: &mut TiffEncoder<Shared, K>,
        dtype: Dtype,
        plane: &[u8],
    ) -> TiffResult<()> {
        match dtype {
            Dtype::U8 => self.write::<colortype::Gray8, K>(encoder, plane),
            Dtype::I8 => self.write::<colortype::GrayI8, K>(encoder, plane),
            Dtype::U16 => self.write::<colortype::Gray16, K>(encoder, plane),
            Dtype::I16 => self.write::<colortype::GrayI16, K>(encoder, plane),
            Dtype::U32 => self.write::<colortype::Gray32, K>(encoder, plane),
            Dtype::I32 => self.write::<colortype::GrayI32, K>(encoder, plane),
            Dtype::U64 => self.write::<colortype::Gray64, K>(encoder, plane),
            Dtype::I64 => self.write::<colortype::GrayI64, K>(encoder, plane),
            Dtype::F32 => self.write::<colortype::Gray32Float, K>(encoder, plane),
            Dtype::F64 => self.write::<colortype::Gray64Float, K>(encoder, plane),
        }
    }

    fn write<C: ColorType, K: TiffKind>(
        self,
        encoder: &mut TiffEncoder<Shared, K>,
        plane: &[u8],
    ) -> TiffResult<()>
    where
        C::Inner: bytemuck::Pod,
        [C::Inner]: TiffValue,
    {
        let [rows, columns] = self.size;
        let mut image = encoder.new_image::<C>(columns, rows)?;
        image.rows_per_strip(rows)?;
        if let Some(text) = &self.text {
            image.encoder().write_tag(Tag::ImageDescription, text.as_str())?;
        }
        if let Some(Spacing([_, y, x])) = self.spacing {
            image.x_resolution(reciprocal(x));
            image.y_resolution(reciprocal(y));
        }
        image.write_data(bytemuck::cast_slice(plane))
    }
}

/// Voxels per micrometre as the fraction nearest to 1 / `edge` (a continued fraction).
fn reciprocal(edge: f64) -> Rational {
    let (mut n, mut d) = ([0u64, 1], [1u64, 0]);
    let mut rest = edge;
    while rest.is_finite() {
        let whole = rest.floor();
        let next = |[older, old]: [u64; 2]| (whole * old as f64 + older as f64, old);
        let ((n_next, n_old), (d_next, d_old)) = (next(n), next(d));
        if n_next > u32::MAX as f64 || d_next > u32::MAX as f64 {
            break;
        }
        (n, d) = ([n_old, n_next as u64], [d_old, d_next as u64]);
        if n[1] as f64 / d[1] as f64 == edge {
            break;
        }
        rest = (rest - whole).recip();
    }
    Rational { n: d[1].max(1) as u32, d: n[1].max(1) as u32 }
}

fn failed(path: &Path, error: ::tiff::TiffError) -> Error {
    match error {
        ::tiff::TiffError::IoError(source) => Error::io(path, source),
        other => Error::invalid(format!("{}: {other}", path.display())),
    }
}

/// The file that the encoder holds, taken back when all is written.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Aside>>>);

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Aside) -> io::Result<T>) -> io::Result<T> {
        act(self.0.lock().expect("no writer panicked").as_mut().expect("not finished yet"))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.with(|file| file.flush())
    }
}

impl Seek for Shared {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.with(|file| file.seek(position))
    }
}
