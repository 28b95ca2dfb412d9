//! What can go wrong before, around or after a run. What goes wrong with a single request is no
//! error of the generator's: it is a [`crate::Record`].

use std::path::PathBuf;

use crate::client::TransportError;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No operation has this name.
    #[error("unknown operation `{name}`{}", hint(.suggestion.as_deref()))]
    UnknownOp {
        /// What was asked for.
        name: String,
        /// The nearest name there is, when one is near.
        suggestion: Option<String>,
    },
    /// No mix has this name.
    #[error("unknown mix `{name}`{}; there are {}", hint(.suggestion.as_deref()), crate::Mix::names().join(", "))]
    UnknownMix {
        /// What was asked for.
        name: String,
        /// The nearest name there is, when one is near.
        suggestion: Option<String>,
    },
    /// A value of a plan, a target or options is out of its range.
    #[error("{field}: {message}")]
    Invalid {
        /// The field, as it is written (`streams[0].rate`).
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// The control API of a service gave no answer.
    #[error("no answer from {url}: {source}")]
    Unreachable {
        /// The URL that was called.
        url: String,
        /// Why there was none.
        source: TransportError,
    },
    /// The control API of a service refused, or answered something else than was agreed.
    #[error("{url} answered {status}: {message}")]
    Fixtures {
        /// The URL that was called.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The service's own words, or what could not be read in its answer.
        message: String,
    },
    /// A histogram's text can't be read, or two histograms don't fit together.
    #[error("histogram: {0}")]
    Histogram(String),
    /// A report file could not be written.
    #[error("cannot write {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A task of the run came to an end that is a bug of the generator's.
    #[error("the generator's task ended: {0}")]
    Task(String),
}

impl LoadError {
    /// An [`LoadError::Invalid`] for `field`.
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            message: message.into(),
        }
    }

    /// The same of a field inside `outer`.
    pub(crate) fn inside(self, outer: &str) -> Self {
        match self {
            Self::Invalid { field, message } => Self::invalid(format!("{outer}.{field}"), message),
            other => other,
        }
    }
}

/// The end of an "unknown name" message.
fn hint(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!(": did you mean `{name}`?"))
        .unwrap_or_default()
}

/// The candidate that is nearest to `name`, if it could be a slip of the pen (Damerau-Levenshtein
/// distance of at most a third of its length, and at least one).
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}
