//! Shows how a run gets on.

use std::time::Duration;

use chaos_engine::runlog::{BreakerState, Phase};
use chaos_engine::{Progress as Watcher, Stage, Update};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::progress::Progress;

/// Draws the engine's news on the moving line; off a terminal, a line for each phase.
pub struct Watch<'a> {
    progress: &'a Progress,
    now: Mutex<Now>,
}

/// Where the run is.
#[derive(Default)]
struct Now {
    trial: String,
    phase: &'static str,
    /// When the first trial began.
    since: Option<Instant>,
    /// How long a trial takes, until one has shown it.
    trial_time: Duration,
}

/// Around the load of a trial: settling, preparing and counting.
const AROUND: Duration = Duration::from_secs(4);

impl<'a> Watch<'a> {
    /// Nothing has happened yet.
    pub fn new(progress: &'a Progress) -> Self {
        Self {
            progress,
            now: Mutex::new(Now::default()),
        }
    }
}

impl Watcher for Watch<'_> {
    fn on(&self, update: &Update) {
        let mut now = self.now.lock();
        match update {
            Update::Started {
                scenario,
                seed,
                arms,
                repeats,
                trial_s,
            } => {
                now.trial_time = Duration::from_secs(*trial_s) + AROUND;
                self.progress.say(&format!(
                    "{scenario}: arms {}, each {repeats} x {trial_s} s of load, seed {seed}",
                    arms.join(", ")
                ));
            }
            Update::Trial {
                arm,
                repeat,
                done,
                of,
                go,
            } => {
                let again = if *go > 1 {
                    format!(", try {go}")
                } else {
                    String::new()
                };
                let since = *now.since.get_or_insert_with(Instant::now);
                let left = left(since.elapsed(), *done, *of, now.trial_time);
                now.trial = format!("[{} of {of}] {arm}, repeat {repeat}{again}", done + 1);
                now.phase = "";
                self.progress.step(&format!("{}, {left} left", now.trial));
            }
            Update::Stage(stage) => now.stage(*stage, self.progress),
            Update::Phase { phase, at_s } => {
                now.phase = words(*phase);
                self.progress
                    .step(&format!("{}: {} (from {at_s:.0} s)", now.trial, now.phase));
            }
            Update::Second { .. } => {
                let line = format!("{}: {}", now.trial, now.second(update));
                self.progress.detail(&line);
            }
            Update::Void { why, again } => {
                self.progress.say(&void(&now.trial, why, *again));
            }
            Update::Counted => {}
        }
    }
}

impl Now {
    fn stage(&mut self, stage: Stage, progress: &Progress) {
        if !matches!(stage, Stage::Load) {
            self.phase = stage.words();
        }
        progress.detail(&format!("{}: {}", self.trial, self.phase));
    }

    /// One second in figures: `outage, 12 s: 60 requests/s, 33.0 % errors, p99 12.3 ms`.
    fn second(&self, update: &Update) -> String {
        let Update::Second {
            second,
            requests,
            error_share,
            p99_ms,
            breakers,
        } = update
        else {
            return String::new();
        };
        let mut line = format!("{}, {second} s: {requests} requests/s", self.phase);
        if let Some(share) = error_share {
            line.push_str(&format!(", {:.1} % errors", share * 100.0));
        }
        if let Some(p99) = p99_ms {
            line.push_str(&format!(", p99 {p99:.1} ms"));
        }
        for (link, state) in breakers {
            line.push_str(&format!(", {link} {}", breaker(*state)));
        }
        line
    }
}

/// How long the trials that are left will take, judging by those that are done.
fn left(spent: Duration, done: u32, of: u32, planned: Duration) -> String {
    let each = if done == 0 { planned } else { spent / done };
    let left = each * of.saturating_sub(done);
    match left.as_secs().div_ceil(60) {
        0 | 1 => "about a minute".to_owned(),
        minutes => format!("about {minutes} min"),
    }
}

fn void(trial: &str, why: &str, again: bool) -> String {
    let then = if again {
        "is void and is run again"
    } else {
        "does not count"
    };
    format!("{trial} {then}: {why}")
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::WarmUp => "warming up",
        Phase::Before => "before the fault",
        Phase::During => "the fault is on",
        Phase::Recovering => "recovering",
        Phase::After => "after",
    }
}

fn breaker(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "OPEN",
        BreakerState::HalfOpen => "half-open",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_void_trial_is_told_with_what_comes_of_it() {
        let (trial, why) = (
            "[2 of 12] naive, repeat 1",
            "precondition healthy-before: unsuccessful 1, expected 0",
        );
        assert_eq!(
            void(trial, why, true),
            "[2 of 12] naive, repeat 1 is void and is run again: \
             precondition healthy-before: unsuccessful 1, expected 0"
        );
        assert!(void(trial, "cancelled", false).ends_with("does not count: cancelled"));
    }

    #[test]
    fn the_time_left_is_planned_first_and_then_measured() {
        let (minute, planned) = (Duration::from_secs(60), Duration::from_secs(30));
        assert_eq!(left(Duration::ZERO, 0, 12, planned), "about 6 min");
        assert_eq!(left(4 * minute, 4, 12, planned), "about 8 min");
        assert_eq!(left(11 * minute, 12, 12, planned), "about a minute");
    }

    #[test]
    fn a_second_is_told_with_what_is_known_of_it() {
        let now = Now {
            trial: "fast".to_owned(),
            phase: words(Phase::During),
            ..Now::default()
        };
        let update = |error_share, p99_ms, breakers| Update::Second {
            second: 12,
            requests: 60,
            error_share,
            p99_ms,
            breakers,
        };
        let open = vec![("order-product".to_owned(), BreakerState::Open)];
        assert_eq!(
            now.second(&update(Some(0.333), Some(12.34), open)),
            "the fault is on, 12 s: 60 requests/s, 33.3 % errors, p99 12.3 ms, order-product OPEN"
        );
        assert_eq!(
            now.second(&update(None, None, Vec::new())),
            "the fault is on, 12 s: 60 requests/s"
        );
    }
}
