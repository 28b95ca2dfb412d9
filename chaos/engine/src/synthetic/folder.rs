//! A run that never was, as the folder that it would have left.

use std::path::Path;

use super::{Made, Model, T0};
use crate::event::Event;
use crate::result::RunResult;
use crate::runlog::{RunLog, TrialStart};
use crate::scenario::Scenario;
use crate::{decisions, requests};

/// Writes the run's files; `more` are further events.
pub(crate) fn write(model: &Model, made: &Made, more: &[(TrialStart, Event)], dir: &Path) {
    let mut log = RunLog::create(&dir.join("run.ndjson")).unwrap();
    made.entries.iter().for_each(|e| log.append(e).unwrap());
    let mut rows = requests::Writer::create(&dir.join(requests::FILE)).unwrap();
    for (trial, counted) in &made.rows {
        rows.write(trial, counted).unwrap();
    }
    rows.finish().unwrap();
    let scenario = Scenario::parse(&model.source, "outage.toml").unwrap();
    let duration = scenario.schedule(model.quick).duration;
    let path = dir.join(decisions::FILE);
    let mut writer = decisions::Writer::create(&path, duration).unwrap();
    made.entries.iter().for_each(|e| writer.log(e).unwrap());
    for (trial, event) in made.events.iter().chain(more) {
        writer.write(trial.trial, T0, event).unwrap();
    }
    writer.finish().unwrap();
    let result = RunResult::from_entries(&made.entries).unwrap();
    std::fs::write(dir.join("result.json"), result.to_json().unwrap()).unwrap();
}

/// A folder of its own with the files of a run.
pub(crate) fn folder(model: &Model) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(model, &super::make(model), &[], dir.path());
    dir
}
