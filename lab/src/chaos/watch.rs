//! Shows how a run gets on.

use chaos_engine::runlog::{BreakerState, Phase};
use chaos_engine::{Progress as Watcher, Stage, Update};
use parking_lot::Mutex;

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
}

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
            } => self.progress.say(&format!(
                "{scenario}: arms {}, each {repeats} x {trial_s} s of load, seed {seed}",
                arms.join(", ")
            )),
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
                now.trial = format!("[{} of {of}] {arm}, repeat {repeat}{again}", done + 1);
                now.phase = "";
                self.progress.step(&now.trial);
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
    fn a_second_is_told_with_what_is_known_of_it() {
        let now = Now {
            trial: "fast".to_owned(),
            phase: words(Phase::During),
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
