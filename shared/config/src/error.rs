//! Why a configuration cannot be used.

use std::io;
use std::path::PathBuf;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration {}: {source}; check that the file exists and that this \
         user may read it", path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// Keys that cannot be used, each with its reason.
    #[error(
        "the configuration{} has {} problem(s):\n  - {}",
        file.as_ref().map(|file| format!(" {}", file.display())).unwrap_or_default(),
        problems.len(),
        problems.join("\n  - ")
    )]
    Problems {
        /// The file, if there is one; the environment may have problems, too.
        file: Option<PathBuf>,
        problems: Vec<String>,
    },
}
