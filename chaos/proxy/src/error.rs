//! What can go wrong, in the words Toxiproxy's clients know.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use http::StatusCode;

/// Every failure of the proxy: those the API answers, and those that keep the
/// process from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is not the JSON that the route takes.
    #[error("bad request body: {0}")]
    BadRequestBody(String),
    /// A field without a default was left out; holds its name.
    #[error("missing required field: {0}")]
    MissingField(String),
    /// No proxy of that name.
    #[error("proxy not found")]
    ProxyNotFound,
    /// A proxy of that name is there already.
    #[error("proxy already exists")]
    ProxyAlreadyExists,
    /// `stream` is neither `upstream` nor `downstream`.
    #[error("stream was invalid, can be either upstream or downstream")]
    InvalidStream,
    /// No such toxic type here.
    #[error("invalid toxic type")]
    InvalidToxicType,
    /// The proxy has a toxic of that name already.
    #[error("toxic already exists")]
    ToxicAlreadyExists,
    /// The proxy has no toxic of that name.
    #[error("toxic not found")]
    ToxicNotFound,
    /// A lease that can't be held.
    #[error("bad lease {given:?}: {problem}; a lease is a time such as \"15s\"")]
    Lease {
        /// As it was given.
        given: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A listen address that is none.
    #[error("{what}{address}: {problem}")]
    Address {
        /// What was being done, with its colon, or nothing.
        what: &'static str,
        /// The address as it was given, introduced as such.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A proxy's own listener could not be opened.
    #[error("listen tcp {address}: bind: {problem}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The system's reason, in Toxiproxy's words where clients may look for them.
        problem: String,
    },
    /// The API or the metrics port could not be opened: the process can't run.
    #[error("cannot listen for {what} on {host}:{port}: {source}")]
    Bind {
        /// `the API` or `metrics`.
        what: &'static str,
        /// The host that was asked for.
        host: String,
        /// The port that was asked for.
        port: u16,
        /// The system's reason.
        source: io::Error,
    },
    /// The file of proxies can't be read.
    #[error("cannot read the configuration {path}: {source}")]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file of proxies was read, but its proxies can't be set up.
    #[error("cannot set up the proxies of {path}: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with its contents.
        source: Box<Error>,
    },
    /// A listener broke while it served.
    #[error("serving the API failed: {0}")]
    Serve(io::Error),
}

impl Error {
    /// The status that Toxiproxy's API answers with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequestBody(_)
            | Self::MissingField(_)
            | Self::InvalidStream
            | Self::InvalidToxicType
            | Self::Lease { .. } => StatusCode::BAD_REQUEST,
            Self::ProxyNotFound | Self::ToxicNotFound => StatusCode::NOT_FOUND,
            Self::ProxyAlreadyExists | Self::ToxicAlreadyExists => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) fn listen(address: SocketAddr, error: &io::Error) -> Self {
        let problem = match error.kind() {
            io::ErrorKind::AddrInUse => "address already in use".to_owned(),
            io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        Self::Listen { address, problem }
    }
}

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
