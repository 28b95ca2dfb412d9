//! What can keep the engine from measuring at all.

use std::path::PathBuf;

use crate::diagnostics::Diagnostics;

/// Why a run could not be made. Everything here is exit status 3: it says
/// nothing about the system under test.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The scenario file has problems; each carries line and column.
    #[error("{0}")]
    Scenario(#[from] Diagnostics),

    /// `--arms` names an arm that the scenario doesn't have.
    #[error("the scenario has no arm `{name}`; it has {known}{hint}")]
    UnknownArm {
        /// What was asked for.
        name: String,
        /// The arms there are.
        known: String,
        /// `, did you mean …?` or nothing.
        hint: String,
    },

    /// `--negative-control` of a scenario that says nothing of one.
    #[error("{0} has no [negative_control]: say in its file what its checks must not survive")]
    NoNegativeControl(String),

    /// A seeded defect that no service has.
    #[error("there is no seeded defect `{name}`; there are {known}")]
    UnknownDefect {
        /// The name.
        name: String,
        /// The defects there are.
        known: String,
    },

    /// `--map` of a scenario that says nothing of one.
    #[error(
        "{0} has no [map]: say in its file which triggers and rates to measure (docs/SCENARIOS.md)"
    )]
    NoMap(String),

    /// `--repeats 0`.
    #[error("a run needs at least one repeat")]
    NoRepeats,

    /// The target has no control for a part that the scenario needs.
    #[error("the target has no {what} for `{part}`, which the scenario needs")]
    Missing {
        /// What is missing, such as "control API".
        what: &'static str,
        /// The part or link.
        part: String,
    },

    /// A target file that is none; says where.
    #[error("{}: {why}", path.display())]
    TargetFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with line and column.
        why: String,
    },

    /// The target may not be broken, or not like this.
    #[error("{0}")]
    NotAllowed(String),

    /// Only a shop of its own can have its processes stopped.
    #[error(
        "the scenario stops `{part}`, and only a shop of its own lets itself be stopped: run it without --attach, on no other target"
    )]
    NoProcesses {
        /// The part.
        part: String,
    },

    /// A process could not be stopped or started.
    #[error("{doing} `{part}` failed: {why}")]
    Process {
        /// What was done, such as "killing".
        doing: &'static str,
        /// The part.
        part: String,
        /// Why not.
        why: String,
    },

    /// A slot that no part of the target exposes.
    #[error("no part of the target has the policy slot `{slot}`; it has {known}")]
    UnknownSlot {
        /// The slot.
        slot: String,
        /// The slots there are.
        known: String,
    },

    /// A request to the control API, the proxy API or the shop failed.
    #[error("{what} failed: {why}")]
    Http {
        /// What was asked, with the address.
        what: String,
        /// What came instead of an answer.
        why: String,
    },

    /// The load generator could not start or be prepared.
    #[error("the load generator: {0}")]
    Load(String),

    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A run log that no engine of this version wrote.
    #[error("{}: line {line}: {why}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl EngineError {
    /// The exit status of `lab` for this error: always 3.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        3
    }

    pub(crate) fn http(what: impl Into<String>, why: impl ToString) -> Self {
        Self::Http {
            what: what.into(),
            why: why.to_string(),
        }
    }

    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
