//! The one error of modelled dependencies.

use resilience::{CallError, Classify, FailureKind};

/// A modelled failure: all that a policy can see of it is its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelError(pub FailureKind);

impl Classify for ModelError {
    fn failure(&self) -> FailureKind {
        self.0
    }

    fn code(&self) -> &str {
        self.0.as_str()
    }
}

/// A layer's failed call, as the layer above sees it: unavailable, whatever the reason was.
impl From<CallError<Self>> for ModelError {
    fn from(_: CallError<Self>) -> Self {
        Self(FailureKind::Unavailable)
    }
}
