//! Shows how a load gets on.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};
use loadtest::session::Progress as Now;

use crate::progress::Progress;

/// Off a terminal, a line every so many seconds.
const LINE_EVERY: u64 = 10;

/// A bar over the seconds of the load, with what its requests meet.
pub struct Bar {
    bar: Option<ProgressBar>,
    lines: Progress,
}

impl Bar {
    /// A bar of so many seconds; nothing has happened yet.
    pub fn new(seconds: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(seconds);
            let style =
                ProgressStyle::with_template("load {bar:30.cyan/dim} {pos:>3}/{len} s  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.tick();
            bar
        });
        Self {
            bar,
            lines: Progress::new(),
        }
    }

    /// Shows where the load is now.
    pub fn show(&self, now: &Now) {
        let seconds = now.elapsed.as_secs();
        match &self.bar {
            Some(bar) => {
                bar.set_position(seconds.min(now.duration.as_secs()));
                bar.set_message(figures(now));
            }
            None if seconds.is_multiple_of(LINE_EVERY) => self.lines.step(&format!(
                "{seconds} of {} s: {}",
                now.duration.as_secs(),
                figures(now)
            )),
            None => {}
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn figures(now: &Now) -> String {
    let p99 = now
        .p99_ms
        .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
    let lost = now.rejected + now.failed;
    let share = if now.finished > 0 {
        lost as f64 / now.finished as f64 * 1e2
    } else {
        0.0
    };
    format!(
        "{:.0} requests/s, p99 {p99}, {share:.1} % not served ({} rejected, {} failed)",
        now.rate, now.rejected, now.failed,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_is_told_in_figures() {
        let mut now = Now {
            elapsed: Duration::from_secs(7),
            duration: Duration::from_secs(30),
            finished: 1_000,
            rejected: 12,
            failed: 3,
            rate: 199.6,
            p99_ms: Some(12.34),
        };
        assert_eq!(
            figures(&now),
            "200 requests/s, p99 12.3 ms, 1.5 % not served (12 rejected, 3 failed)"
        );
        (now.finished, now.p99_ms) = (0, None);
        assert!(figures(&now).contains("p99 -, 0.0 %"));
    }
}
