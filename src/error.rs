//! Everything that can go wrong, said so that a user can act on it: which file, what was found, what was
//! expected.
use std::io;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with all that its reader needs to mend the cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something about a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not what it has to be.
    #[error("{}: found {found}, expected {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What it has to hold.
        expected: String,
    },
    /// Values that make no sense, alone or together: options, shapes, voxels.
    #[error("{0}")]
    Invalid(String),
    /// A device has less memory than was asked for; smaller blocks need less.
    #[error("{0}")]
    DeviceMemory(String),
}

impl Error {
    /// Wraps an operating-system error with the file that it is about.
    pub fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        Error::Io { path: path.as_ref().to_owned(), source }
    }

    /// A file that is not what it has to be.
    pub fn format(path: impl AsRef<Path>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Error::Format { path: path.as_ref().to_owned(), found: found.into(), expected: expected.into() }
    }

    /// Names the file where the error itself does not.
    pub fn about(self, path: impl AsRef<Path>) -> Self {
        match self {
            Error::Invalid(message) => Error::Invalid(format!("{}: {message}", path.as_ref().display())),
            named => named,
        }
    }

    /// Values that make no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::Invalid(message.into())
    }
}
