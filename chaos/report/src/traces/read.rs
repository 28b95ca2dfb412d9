//! Reads the two files, each once and line by line: they may be large.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use chaos_engine::runlog::TrialStart;
use serde::Deserialize;

use super::story::{Request, Trace};
use crate::ReportError;

/// A line of `decisions.jsonl`, of this version or an older one; fields that its kind doesn't
/// have are none.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Line {
    pub(super) trial: u32,
    #[serde(default)]
    pub(super) t_us: i64,
    pub(super) kind: String,
    #[serde(default)]
    pub(super) link: String,
    #[serde(default)]
    pub(super) method: String,
    #[serde(default)]
    pub(super) request_id: String,
    pub(super) attempt: Option<u32>,
    pub(super) started_us: Option<i64>,
    pub(super) ok: Option<bool>,
    pub(super) status: Option<String>,
    pub(super) failure: Option<String>,
    #[serde(default)]
    pub(super) cancelled: bool,
    pub(super) outcome: Option<String>,
    pub(super) took_us: Option<u64>,
    pub(super) wait_us: Option<u64>,
    pub(super) reason: Option<String>,
    pub(super) fault: Option<String>,
    pub(super) action: Option<String>,
    pub(super) delay_us: Option<u64>,
}

/// One trial's decisions, by request.
pub(super) type Requests = BTreeMap<String, Vec<Line>>;

/// The decisions of these trials; nothing where there is no file.
pub(super) fn decisions(path: &Path, trials: &[TrialStart]) -> Result<Vec<Requests>, ReportError> {
    let mut found: Vec<Requests> = trials.iter().map(|_| Requests::new()).collect();
    let Some(file) = open(path)? else {
        return Ok(found);
    };
    let place: HashMap<u32, usize> = trials
        .iter()
        .enumerate()
        .map(|(i, t)| (t.trial, i))
        .collect();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|e| ReportError::io(path, e))?;
        // A kind of line that this version doesn't know is none of its business.
        let Ok(line) = serde_json::from_str::<Line>(&line) else {
            continue;
        };
        if let (Some(i), false) = (place.get(&line.trial), line.request_id.is_empty()) {
            found[*i]
                .entry(line.request_id.clone())
                .or_default()
                .push(line);
        }
    }
    Ok(found)
}

fn open(path: &Path) -> Result<Option<File>, ReportError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(ReportError::io(path, e)),
    }
}

#[derive(Deserialize)]
struct Row {
    trial: u32,
    request_id: String,
    op: String,
    scheduled_us: i64,
    started_us: i64,
    ended_us: i64,
    status: u16,
    outcome: String,
}

/// Gives the traces what is known of their requests as a whole.
pub(super) fn requests(path: &Path, traces: &mut [Trace]) -> Result<(), ReportError> {
    let Some(file) = open(path)? else {
        return Ok(());
    };
    let bad = |e| ReportError::io(path, e);
    let unpacked = zstd::Decoder::new(file).map_err(bad)?;
    let mut rows = csv::Reader::from_reader(unpacked);
    for row in rows.deserialize::<Row>() {
        let row = row.map_err(|e| bad(std::io::Error::other(e)))?;
        let known = |t: &&mut Trace| t.trial == row.trial && t.request_id == row.request_id;
        if let Some(trace) = traces.iter_mut().find(known) {
            trace.request = Some(Request {
                op: row.op,
                due_us: row.scheduled_us,
                sent_us: row.started_us,
                ended_us: row.ended_us,
                status: row.status,
                outcome: row.outcome,
            });
        }
    }
    Ok(())
}
