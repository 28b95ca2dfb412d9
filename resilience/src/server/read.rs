//! Reads a server's policy from a value, and says what its fields may be.

use serde_json::Value;

use super::policy::{CodelConfig, QueueConfig, ServerPolicy, ShedConfig};
use crate::limit::LimitConfig;
use crate::policy::PolicyError;
use crate::policy::fields::Fields;
use crate::policy::validate::{Checked, at_least, at_most_a_year, count, positive, share};
use crate::priority::Priority;

const POLICY: &[&str] = &["preset", "limit", "queue", "shed"];
const LIMITS: &[(&str, &[&str])] = &[
    ("static", &["max"]),
    (
        "aimd",
        &["initial", "min", "max", "backoff", "slow_after", "window"],
    ),
    (
        "gradient2",
        &[
            "initial",
            "min",
            "max",
            "tolerance",
            "queue",
            "smoothing",
            "long_window",
            "window",
        ],
    ),
    ("vegas", &["initial", "min", "max", "smoothing", "window"]),
];
const QUEUE: &[&str] = &["max_waiting", "max_wait", "codel"];
const CODEL: &[&str] = &["target", "interval"];
const SHED: &[&str] = &["critical_plus", "critical", "sheddable_plus", "sheddable"];

pub(super) fn policy(value: &Value) -> Result<ServerPolicy, PolicyError> {
    let fields = Fields::new("", value, POLICY)?;
    let policy = ServerPolicy {
        preset: fields.text("preset")?.to_owned(),
        limit: fields.or_off("limit", limit)?,
        queue: fields.or_off("queue", queue)?,
        shed: fields.or_off("shed", shed)?,
    };
    policy.validate()?;
    Ok(policy)
}

fn limit(path: &str, value: &Value) -> Result<LimitConfig, PolicyError> {
    let (kind, fields) = Fields::of_kind(path, value, LIMITS, &[])?;
    let max = fields.count("max")?;
    if kind == "static" {
        return Ok(LimitConfig::Fixed { max });
    }
    let (initial, min) = (fields.count("initial")?, fields.count("min")?);
    let window = fields.duration("window")?;
    Ok(match kind {
        "aimd" => LimitConfig::Aimd {
            initial,
            min,
            max,
            backoff: fields.number("backoff")?,
            slow_after: fields.duration("slow_after")?,
            window,
        },
        "gradient2" => LimitConfig::Gradient2 {
            initial,
            min,
            max,
            tolerance: fields.number("tolerance")?,
            queue: fields.count("queue")?,
            smoothing: fields.number("smoothing")?,
            long_window: fields.count("long_window")?,
            window,
        },
        // The last of `LIMITS`.
        _ => LimitConfig::Vegas {
            initial,
            min,
            max,
            smoothing: fields.number("smoothing")?,
            window,
        },
    })
}

fn queue(path: &str, value: &Value) -> Result<QueueConfig, PolicyError> {
    let fields = Fields::new(path, value, QUEUE)?;
    Ok(QueueConfig {
        max_waiting: fields.count("max_waiting")?,
        max_wait: fields.duration("max_wait")?,
        codel: fields.or_off("codel", codel)?,
    })
}

fn codel(path: &str, value: &Value) -> Result<CodelConfig, PolicyError> {
    let fields = Fields::new(path, value, CODEL)?;
    Ok(CodelConfig {
        target: fields.duration("target")?,
        interval: fields.duration("interval")?,
    })
}

fn shed(path: &str, value: &Value) -> Result<ShedConfig, PolicyError> {
    let fields = Fields::new(path, value, SHED)?;
    Ok(ShedConfig {
        critical_plus: fields.number("critical_plus")?,
        critical: fields.number("critical")?,
        sheddable_plus: fields.number("sheddable_plus")?,
        sheddable: fields.number("sheddable")?,
    })
}

impl ServerPolicy {
    /// Checks every field. A policy that was read is valid already; one put together or changed by
    /// hand may not be.
    ///
    /// # Errors
    /// [`PolicyError::Invalid`], naming the first field that is wrong.
    pub fn validate(&self) -> Result<(), PolicyError> {
        self.limit.as_ref().map_or(Ok(()), check_limit)?;
        self.queue.as_ref().map_or(Ok(()), check_queue)?;
        self.shed.as_ref().map_or(Ok(()), check_shed)
    }
}

fn check_limit(limit: &LimitConfig) -> Checked {
    match *limit {
        LimitConfig::Fixed { max } => count("limit.max", max),
        LimitConfig::Aimd {
            initial,
            min,
            max,
            backoff,
            slow_after,
            window,
        } => {
            check_bounds(initial, min, max)?;
            inside("limit.backoff", backoff, 1.0)?;
            positive("limit.slow_after", slow_after)?;
            at_most_a_year("limit.window", window)
        }
        LimitConfig::Gradient2 {
            initial,
            min,
            max,
            tolerance,
            queue: _,
            smoothing,
            long_window,
            window,
        } => {
            check_bounds(initial, min, max)?;
            at_least("limit.tolerance", tolerance, 1.0)?;
            weight("limit.smoothing", smoothing)?;
            count("limit.long_window", long_window)?;
            at_most_a_year("limit.window", window)
        }
        LimitConfig::Vegas {
            initial,
            min,
            max,
            smoothing,
            window,
        } => {
            check_bounds(initial, min, max)?;
            weight("limit.smoothing", smoothing)?;
            at_most_a_year("limit.window", window)
        }
    }
}

fn check_bounds(initial: u32, min: u32, max: u32) -> Checked {
    count("limit.min", min)?;
    count("limit.max", max)?;
    if max < min {
        let problem = format!("must be at least `limit.min` ({min}), is {max}");
        return Err(PolicyError::invalid("limit.max", problem));
    }
    if !(min..=max).contains(&initial) {
        let problem =
            format!("must be within `limit.min` and `limit.max` ({min} to {max}), is {initial}");
        return Err(PolicyError::invalid("limit.initial", problem));
    }
    Ok(())
}

fn check_queue(queue: &QueueConfig) -> Checked {
    count("queue.max_waiting", queue.max_waiting)?;
    positive("queue.max_wait", queue.max_wait)?;
    let Some(codel) = &queue.codel else {
        return Ok(());
    };
    positive("queue.codel.target", codel.target)?;
    positive("queue.codel.interval", codel.interval)?;
    if codel.target > queue.max_wait {
        let max = humantime::format_duration(queue.max_wait);
        let problem = format!("must not be longer than `queue.max_wait` ({max})");
        return Err(PolicyError::invalid("queue.codel.target", problem));
    }
    Ok(())
}

/// Shares must be shares, and in the order of their levels: what the runtime would put in order
/// silently is more likely a slip of the pen.
fn check_shed(shed: &ShedConfig) -> Checked {
    // In the order of `Priority::ALL`, least first.
    let paths = [
        "shed.sheddable",
        "shed.sheddable_plus",
        "shed.critical",
        "shed.critical_plus",
    ];
    let shares = Priority::ALL.map(|level| shed.share(level));
    for (path, value) in paths.into_iter().zip(shares) {
        share(path, value)?;
    }
    for below in 0..paths.len() - 1 {
        if shares[below + 1] < shares[below] {
            let problem = format!("must be at least `{}` ({})", paths[below], shares[below]);
            return Err(PolicyError::invalid(paths[below + 1], problem));
        }
    }
    Ok(())
}

/// Above 0, and at most 1.
fn weight(path: &str, value: f64) -> Checked {
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    let problem = format!("must be above 0 and at most 1, is {value}");
    Err(PolicyError::invalid(path, problem))
}

/// Between 0 and `end`, both excluded.
fn inside(path: &str, value: f64, end: f64) -> Checked {
    if value > 0.0 && value < end {
        return Ok(());
    }
    let problem = format!("must be between 0 and {end}, is {value}");
    Err(PolicyError::invalid(path, problem))
}
