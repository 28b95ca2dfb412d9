//! The files that a run writes while it goes on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;

use crate::decisions;
use crate::error::EngineError;
use crate::event::Event;
use crate::reducer::Counted;
use crate::requests;
use crate::runlog::{Entry, RunLog, TrialStart};

/// Of compression: a history of 3 000 orders in a fraction of a second.
const LEVEL: i32 = 3;

/// The run log, the requests and the decisions.
pub(super) struct Files {
    dir: PathBuf,
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
            dir: dir.to_owned(),
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

    /// Where a trial's history is written, line by line, while it goes on.
    pub(super) fn history(&self, trial: u32) -> PathBuf {
        self.dir.join(format!("history-{trial}.ndjson"))
    }

    /// Ends what has an end.
    pub(super) fn finish(self) -> Result<(), EngineError> {
        self.requests.into_inner().finish()?;
        self.decisions.into_inner().finish()
    }
}

/// Packs a history that is complete; the name of the new file, which takes its place.
pub(super) fn pack(plain: &Path) -> Result<String, EngineError> {
    let packed = plain.with_extension("ndjson.zst");
    let pack = || {
        let (from, to) = (File::open(plain)?, File::create(&packed)?);
        zstd::stream::copy_encode(from, to, LEVEL)?;
        std::fs::remove_file(plain)
    };
    pack().map_err(|e| EngineError::io(&packed, e))?;
    let name = packed.file_name().unwrap_or_default();
    Ok(name.to_string_lossy().into_owned())
}
