//! Leaving a target as it was found, whatever ends the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::control::Control;
use crate::error::EngineError;
use crate::timeline::{Injector as _, Injectors};

/// How often the clean-up is tried.
const TRIES: u32 = 5;

/// Clears every fault, and puts the policies back that were there.
///
/// Dropped in the middle (a panic, an abort) it still does, as long as there is a
/// runtime to do it on. Killed, it can't; then the leases of the faults run out, and
/// the next start clears what has none.
pub(super) struct Cleaner {
    injectors: Arc<Injectors>,
    before: Arc<[(Control, String, Value)]>,
    /// Whether anything may be left to clean.
    armed: AtomicBool,
}

impl Cleaner {
    /// Nothing is touched until [`Cleaner::arm`].
    pub(super) fn new(injectors: Arc<Injectors>, before: Vec<(Control, String, Value)>) -> Self {
        Self {
            injectors,
            before: before.into(),
            armed: AtomicBool::new(false),
        }
    }

    /// From here on faults may be injected and policies changed.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    pub(super) async fn clean(&self) -> Result<(), EngineError> {
        clean(&self.injectors).await
    }

    pub(super) async fn leave(&self) -> Result<(), EngineError> {
        let cleaned = self.clean().await;
        let restored = restore(&self.before).await;
        cleaned.and(restored)?;
        self.armed.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        if !self.armed.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (injectors, before) = (Arc::clone(&self.injectors), Arc::clone(&self.before));
            runtime.spawn(async move {
                // Nobody is left to tell; the next start cleans up too.
                let _ = clean(&injectors).await;
                let _ = restore(&before).await;
            });
        }
    }
}

async fn clean(injectors: &Injectors) -> Result<(), EngineError> {
    let mut tried = 1;
    loop {
        match injectors.clear_all().await {
            Err(_) if tried < TRIES => {
                tokio::time::sleep(Duration::from_millis(200) * tried).await;
                tried += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn restore(before: &[(Control, String, Value)]) -> Result<(), EngineError> {
    let mut restored = Ok(());
    for (control, slot, policy) in before {
        restored = control
            .put_policy(slot, policy)
            .await
            .map(drop)
            .and(restored);
    }
    restored
}
