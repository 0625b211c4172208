//! A file as bytes in memory: the operating system loads what is read and drops it again when memory runs short.
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::error::{Error, Result};

/// The bytes of a file; copies share them.
#[derive(Clone)]
pub(crate) struct Mapped(Arc<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Mapped {
    /// Maps a whole file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let named = |source| Error::io(path, source);
        let file = File::open(path).map_err(named)?;
        let about = file.metadata().map_err(named)?;
        if !about.is_file() {
            let found = if about.is_dir() { "a folder" } else { "no ordinary file" };
            return Err(Error::format(path, found, "a file with a volume"));
        }
        if about.len() == 0 {
            return Err(Error::format(path, "an empty file", "a file with a volume"));
        }
        // SAFETY: the bytes are only read, as plain numbers that may have any value. Whoever shortens the file while
        // it is in use ends the program with a bus error, as with every memory-mapping reader.
        let map = unsafe { Mmap::map(&file) }.map_err(named)?;
        Ok(Mapped(Arc::new(map)))
    }
}
