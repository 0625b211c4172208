//! A file that appears only when it is complete: it is written under another name in the same folder, then renamed.
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{Builder, NamedTempFile};

use crate::error::{Error, Result};

/// A file in the making. Dropped without [`Aside::finish`], it leaves nothing behind.
pub struct Aside {
    file: BufWriter<NamedTempFile>,
    target: PathBuf,
    _unfinished: Unfinished,
}

/// The files that no one has finished or dropped yet.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry in [`UNFINISHED`], for as long as it lives.
struct Unfinished(PathBuf);

impl Unfinished {
    fn note(path: &Path) -> Self {
        unfinished().insert(path.to_owned());
        Unfinished(path.to_owned())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        unfinished().remove(&self.0);
    }
}

/// Makes Ctrl-C (and a request to terminate) remove unfinished files before it ends the program. Signals that whoever
/// started the program had it ignore, as `nohup` does, stay ignored.
pub fn remove_on_interrupt() {
    let handler = || {
        for path in unfinished().iter() {
            // What cannot be removed now is as well left to the user.
            let _ = fs::remove_file(path);
        }
        std::process::exit(130);
    };
    if ctrlc::try_set_handler(handler).is_err() {
        tracing::debug!("signals are ignored or handled elsewhere");
    }
}

impl Aside {
    /// Begins a file that will be called `path`, or replace it.
    ///
    /// # Errors
    /// The folder is missing or cannot be written, or `path` is there and no ordinary file.
    pub fn create(path: &Path) -> Result<Self> {
        let target = resolved(path)?;
        let folder = folder_of(&target);
        if !folder.is_dir() {
            return Err(Error::format(folder, "no such folder", format!("the folder of {}", path.display())));
        }
        let name =
            target.file_name().ok_or_else(|| Error::invalid(format!("{}: no file name", path.display())))?;
        let mut builder = Builder::new();
        let prefix = format!("{}.", name.to_string_lossy());
        builder.prefix(&prefix).suffix(".partial");
        permit_as_usual(&mut builder);
        let file = builder.tempfile_in(folder).map_err(|source| Error::io(folder, source))?;
        let noted = Unfinished::note(file.path());
        Ok(Aside { file: BufWriter::with_capacity(1 << 20, file), target, _unfinished: noted })
    }

    /// Gives the complete file its name.
    pub fn finish(self) -> Result<()> {
        let Aside { file, target, _unfinished } = self;
        let named = |source| Error::io(&target, source);
        let file = file.into_inner().map_err(|e| named(e.into_error()))?;
        file.as_file().sync_all().map_err(named)?;
        file.persist(&target).map_err(|e| named(e.error))?;
        Ok(())
    }

    /// Where the file lies until it is complete, for libraries that open files by name.
    pub fn path(&self) -> &Path {
        self.file.get_ref().path()
    }

    /// The name that the file will have.
    pub fn target(&self) -> &Path {
        &self.target
    }
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Aside {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

/// Writes a whole small file.
pub fn write(path: &Path, contents: &[u8]) -> Result<()> {
    let mut aside = Aside::create(path)?;
    aside.write_all(contents).map_err(|source| Error::io(path, source))?;
    aside.finish()
}

/// The path behind symbolic links, so that a link stays one; refuses folders, devices and pipes.
fn resolved(path: &Path) -> Result<PathBuf> {
    let Ok(there) = fs::metadata(path) else { return Ok(path.to_owned()) };
    if !there.is_file() {
        let what = if there.is_dir() { "a folder" } else { "no ordinary file" };
        return Err(Error::format(path, what, "the name of a file to write"));
    }
    path.canonicalize().map_err(|source| Error::io(path, source))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The permissions of any new file: read and write for all, less what the user's mask takes away.
#[cfg(unix)]
fn permit_as_usual(builder: &mut Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn permit_as_usual(_builder: &mut Builder<'_, '_>) {}
