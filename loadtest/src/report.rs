//! Figures of a load: counted record by record, shown as a table, written as JSON and as an HDR log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::{Deserialize, Serialize};

use crate::error::LoadError;
use crate::histogram::Histogram;
use crate::mix::Op;
use crate::plan::Plan;
use crate::record::{Outcome, Record};
use crate::stats::RunStats;

/// Fewer requests than this make a 99th percentile a matter of luck.
const ENOUGH_FOR_P99: u64 = 1_000;
/// The same for the 99.9th.
const ENOUGH_FOR_P999: u64 = 10_000;

/// Counts of finished requests, and their latencies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// All of them.
    pub requests: u64,
    /// Those with [`Outcome::Ok`].
    pub ok: u64,
    /// Those with [`Outcome::Degraded`].
    pub degraded: u64,
    /// Those with [`Outcome::Rejected`].
    pub rejected: u64,
    /// Those with [`Outcome::Failed`].
    pub failed: u64,
    /// Latencies from the scheduled start, of every request that was sent, whatever its outcome.
    pub latency: Histogram,
    /// How many were rejected or failed, by reason: the transport error's kind, else the body's
    /// code, else the status.
    pub reasons: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one record.
    pub fn add(&mut self, record: &Record) {
        self.requests += 1;
        match record.outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Degraded => self.degraded += 1,
            Outcome::Rejected => self.rejected += 1,
            Outcome::Failed => self.failed += 1,
        }
        if !record.outcome.is_success() {
            *self.reasons.entry(reason(record)).or_default() += 1;
        }
        if record.error.as_deref() != Some(crate::GENERATOR_FULL) {
            self.latency.record(record.latency());
        }
    }

    /// The share of requests that were served; none if there was no request.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let served = self.ok + self.degraded;
        (self.requests > 0).then(|| served as f64 / self.requests as f64)
    }

    /// The figures of these counts over `measured`.
    #[must_use]
    pub fn figures(&self, measured: Duration) -> Figures {
        let at = |q| self.latency.quantile(q).map(ms);
        let seconds = measured.as_secs_f64();
        let served = (self.ok + self.degraded) as f64;
        Figures {
            requests: self.requests,
            ok: self.ok,
            degraded: self.degraded,
            rejected: self.rejected,
            failed: self.failed,
            success_rate: self.success_rate(),
            goodput_rps: if seconds > 0.0 { served / seconds } else { 0.0 },
            mean_ms: self.latency.mean().map(ms),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: self.latency.max().map(ms),
            reasons: self.reasons.clone(),
            histogram: self.latency.clone(),
        }
    }
}

/// A bounded set of words: never an address or a number that differs from request to request.
fn reason(record: &Record) -> String {
    match (&record.error, &record.code) {
        (Some(error), _) => error.split(':').next().unwrap_or(error).to_owned(),
        (None, Some(code)) => code.clone(),
        (None, None) => format!("status {}", record.status),
    }
}

/// In one division, so that a latency of 5 967 µs is written 5.967.
fn ms(duration: Duration) -> f64 {
    crate::clock::as_ns(duration) as f64 / 1e6
}

/// A [`Tally`] as it is written. Latencies are in milliseconds, and absent if there are none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// See [`Tally::requests`].
    pub requests: u64,
    /// See [`Tally::ok`].
    pub ok: u64,
    /// See [`Tally::degraded`].
    pub degraded: u64,
    /// See [`Tally::rejected`].
    pub rejected: u64,
    /// See [`Tally::failed`].
    pub failed: u64,
    /// See [`Tally::success_rate`].
    pub success_rate: Option<f64>,
    /// Requests served a second.
    pub goodput_rps: f64,
    /// Mean latency.
    pub mean_ms: Option<f64>,
    /// Median latency.
    pub p50_ms: Option<f64>,
    /// 90th percentile.
    pub p90_ms: Option<f64>,
    /// 99th percentile; a matter of luck below 1 000 requests.
    pub p99_ms: Option<f64>,
    /// 99.9th percentile; a matter of luck below 10 000 requests.
    pub p999_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
    /// See [`Tally::reasons`].
    pub reasons: BTreeMap<String, u64>,
    /// All latencies, in microseconds.
    pub histogram: Histogram,
}

/// A whole load's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this form: 1.
    pub schema_version: u32,
    /// What was asked for.
    pub plan: Plan,
    /// When the load started, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Seconds at the beginning that are not counted.
    pub warm_up_s: f64,
    /// Seconds of arrivals that are counted.
    pub measured_s: f64,
    /// All operations together.
    pub total: Figures,
    /// Each operation.
    pub ops: BTreeMap<Op, Figures>,
    /// Each stream, by its name or place.
    pub streams: BTreeMap<String, Figures>,
    /// How the generator did.
    pub generator: RunStats,
    /// Cores of the machine.
    pub cores: usize,
    /// Why the figures must not be trusted; none if they may.
    pub void: Option<String>,
}

/// The files that [`write()`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// `load.json`, the [`Summary`].
    pub json: PathBuf,
    /// `latency.hlog`, an HdrHistogram interval log with one line an operation (tag) and one for
    /// all, values in microseconds.
    pub hlog: PathBuf,
    /// `latency.hgrm`, the percentiles of all requests in milliseconds, for HdrHistogram's plotters.
    pub hgrm: PathBuf,
}

/// Writes the report's files into `dir`, which is made if need be.
///
/// # Errors
/// [`LoadError::File`], naming the file.
pub fn write(summary: &Summary, dir: &Path) -> Result<Files, LoadError> {
    let failed = |path: &Path, source| LoadError::File {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let json = dir.join("load.json");
    let mut text =
        serde_json::to_vec_pretty(summary).map_err(|e| failed(&json, std::io::Error::from(e)))?;
    text.push(b'\n');
    std::fs::write(&json, text).map_err(|e| failed(&json, e))?;
    let hlog = dir.join("latency.hlog");
    let log = hdr_log(summary).map_err(|e| failed(&hlog, e))?;
    std::fs::write(&hlog, log).map_err(|e| failed(&hlog, e))?;
    let hgrm = dir.join("latency.hgrm");
    let percentiles = summary.total.histogram.percentiles();
    std::fs::write(&hgrm, percentiles).map_err(|e| failed(&hgrm, e))?;
    Ok(Files { json, hlog, hgrm })
}

/// The interval log: see [`Files::hlog`].
fn hdr_log(summary: &Summary) -> Result<Vec<u8>, std::io::Error> {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(summary.started_unix_ms);
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("latency from the scheduled start, in microseconds; maxima in milliseconds")
        .with_start_time(started)
        .with_max_value_divisor(1_000.0)
        .begin_log_with(&mut log, &mut serializer)?;
    let from = Duration::from_secs_f64(summary.warm_up_s);
    let length = Duration::from_secs_f64(summary.measured_s);
    let tagged = summary
        .ops
        .iter()
        .map(|(op, figures)| (Tag::new(op.as_str()), figures));
    for (tag, figures) in std::iter::once((None, &summary.total)).chain(tagged) {
        writer
            .write_histogram(figures.histogram.inner(), from, length, tag)
            .map_err(|e| std::io::Error::other(format!("{e:?}")))?;
    }
    Ok(log)
}

/// The table for people: one row an operation, and one a stream if there are several; latencies in milliseconds, what went wrong, and how
/// the generator did.
#[must_use]
pub fn table(summary: &Summary) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(
        summary
            .ops
            .iter()
            .map(|(op, figures)| row(op.as_str(), figures)),
    );
    if summary.streams.len() > 1 {
        let streams = summary.streams.iter();
        rows.extend(streams.map(|(name, figures)| row(&format!("stream {name}"), figures)));
    }
    rows.push(row("all", &summary.total));
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    });
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    if text.contains('~') {
        text.push_str("~ too few requests: p99 wants 1 000, p99.9 wants 10 000\n");
    }
    for (reason, count) in &summary.total.reasons {
        let _ = writeln!(text, "not served: {count} × {reason}");
    }
    text.push_str(&generator_line(summary));
    text
}

const COLUMNS: usize = 12;
const HEAD: [&str; COLUMNS] = [
    "ms", "requests", "ok", "degraded", "rejected", "failed", "served/s", "p50", "p90", "p99",
    "p99.9", "max",
];

fn row(name: &str, figures: &Figures) -> [String; COLUMNS] {
    let told = |value: Option<f64>, enough: u64| match value {
        None => "-".to_owned(),
        Some(ms) if figures.requests < enough => format!("{ms:.1}~"),
        Some(ms) => format!("{ms:.1}"),
    };
    [
        name.to_owned(),
        figures.requests.to_string(),
        figures.ok.to_string(),
        figures.degraded.to_string(),
        figures.rejected.to_string(),
        figures.failed.to_string(),
        format!("{:.1}", figures.goodput_rps),
        told(figures.p50_ms, 0),
        told(figures.p90_ms, 0),
        told(figures.p99_ms, ENOUGH_FOR_P99),
        told(figures.p999_ms, ENOUGH_FOR_P999),
        told(figures.max_ms, 0),
    ]
}

fn generator_line(summary: &Summary) -> String {
    let stats = &summary.generator;
    let late = stats.lateness.quantile(0.99).map_or(0.0, ms);
    let mut text = format!(
        "generator: {} of {} arrivals sent, at most {} at once, p99 {late:.2} ms late, {:.0} % of one of \
         {} cores\n",
        stats.sent,
        stats.planned,
        stats.in_flight_max,
        stats.cpu_share(1) * 1e2,
        summary.cores,
    );
    if let Some(reason) = &summary.void {
        let _ = writeln!(text, "VOID: {reason}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome, error: Option<&str>, code: Option<&str>, status: u16) -> Record {
        Record {
            index: 0,
            request_id: "r".to_owned(),
            op: Op::Order,
            scheduled_ns: 0,
            started_ns: 0,
            ended_ns: 5_000_000,
            status,
            outcome,
            code: code.map(str::to_owned),
            order_id: None,
            degraded: false,
            error: error.map(str::to_owned),
            sent: true,
            customer: 1,
            lines: Vec::new(),
            stream: "0".to_owned(),
            priority: None,
            retry_after: false,
            attempts: 1,
            bytes: 0,
        }
    }

    #[test]
    fn records_are_counted_by_outcome_and_reason() {
        let mut tally = Tally::default();
        assert_eq!(tally.success_rate(), None);
        for record in [
            record(Outcome::Ok, None, None, 200),
            record(Outcome::Degraded, None, None, 200),
            record(Outcome::Rejected, None, Some("service_unavailable"), 503),
            record(Outcome::Failed, None, None, 502),
            record(
                Outcome::Failed,
                Some("connect: Connection refused"),
                None,
                0,
            ),
            record(Outcome::Failed, Some(crate::GENERATOR_FULL), None, 0),
        ] {
            tally.add(&record);
        }
        let counts = (
            tally.requests,
            tally.ok,
            tally.degraded,
            tally.rejected,
            tally.failed,
        );
        assert_eq!(counts, (6, 1, 1, 1, 3));
        assert_eq!(tally.latency.len(), 5, "what was never sent has no latency");
        let reasons: Vec<_> = tally.reasons.keys().map(String::as_str).collect();
        assert_eq!(
            reasons,
            [
                "connect",
                "generator_full",
                "service_unavailable",
                "status 502"
            ]
        );
        let figures = tally.figures(Duration::from_secs(4));
        assert!((figures.goodput_rps - 0.5).abs() < 1e-9);
        assert!((figures.success_rate.unwrap() - 1.0 / 3.0).abs() < 1e-9);
        assert!(
            (figures.p50_ms.unwrap() - 5.0).abs() < 0.01,
            "{:?}",
            figures.p50_ms
        );
    }

    #[test]
    fn percentiles_of_few_requests_are_marked() {
        let mut tally = Tally::default();
        (0..999).for_each(|_| tally.add(&record(Outcome::Ok, None, None, 200)));
        let cells = |tally: &Tally| row("order", &tally.figures(Duration::from_secs(1)));
        assert!(cells(&tally)[9].ends_with('~') && cells(&tally)[10].ends_with('~'));
        tally.add(&record(Outcome::Ok, None, None, 200));
        assert!(!cells(&tally)[9].ends_with('~') && cells(&tally)[10].ends_with('~'));
        assert_eq!(cells(&Tally::default())[7], "-");
    }
}
