//! The files that a run writes while it goes on.

use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;

use crate::decisions;
use crate::error::EngineError;
use crate::event::Event;
use crate::reducer::Counted;
use crate::requests;
use crate::runlog::{Entry, RunLog, TrialStart};

/// The run log, the requests and the decisions.
pub(super) struct Files {
    log: Mutex<RunLog>,
    requests: Mutex<requests::Writer>,
    decisions: Mutex<decisions::Writer>,
}

impl Files {
    /// Begins them in a folder, which is made if it isn't there. `duration` is that of the
    /// load from second 0.
    pub(super) fn create(dir: &Path, duration: Duration) -> Result<Self, EngineError> {
        std::fs::create_dir_all(dir).map_err(|e| EngineError::io(dir, e))?;
        let decisions = decisions::Writer::create(&dir.join(decisions::FILE), duration)?;
        Ok(Self {
            log: Mutex::new(RunLog::create(&dir.join("run.ndjson"))?),
            requests: Mutex::new(requests::Writer::create(&dir.join(requests::FILE))?),
            decisions: Mutex::new(decisions),
        })
    }

    pub(super) fn log(&self, entry: &Entry) -> Result<(), EngineError> {
        self.log.lock().append(entry)?;
        self.decisions.lock().log(entry)
    }

    pub(super) fn requests(
        &self,
        trial: &TrialStart,
        counted: &[Counted],
    ) -> Result<(), EngineError> {
        let mut requests = self.requests.lock();
        counted
            .iter()
            .try_for_each(|one| requests.write(trial, one))
    }

    pub(super) fn decision(
        &self,
        trial: &TrialStart,
        t0_ns: u64,
        event: &Event,
    ) -> Result<(), EngineError> {
        self.decisions.lock().write(trial.trial, t0_ns, event)
    }

    /// Ends what has an end.
    pub(super) fn finish(self) -> Result<(), EngineError> {
        self.requests.into_inner().finish()?;
        self.decisions.into_inner().finish()
    }
}
