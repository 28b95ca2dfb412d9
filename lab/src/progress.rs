//! Says what is going on: one moving line on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// How often the moving line moves.
const TICK: Duration = Duration::from_millis(120);

/// A line that tells what the lab is doing now, on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    since: Instant,
}

impl Progress {
    /// Starts with nothing to tell.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner:.cyan} {wide_msg} {elapsed:.dim}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self {
            bar,
            since: Instant::now(),
        }
    }

    /// Whether there is a terminal to draw on.
    pub fn is_live(&self) -> bool {
        self.bar.is_some()
    }

    /// What happens from now on. Off a terminal it is a line of its own.
    pub fn step(&self, what: &str) {
        match &self.bar {
            Some(bar) => tell(bar, what),
            None => eprintln!("[{:>6.1} s] {what}", self.since.elapsed().as_secs_f64()),
        }
    }

    /// A detail of what happens, worth a moving line only.
    pub fn detail(&self, what: &str) {
        if let Some(bar) = &self.bar {
            tell(bar, what);
        }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the moving line away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn tell(bar: &ProgressBar, what: &str) {
    if bar.is_finished() {
        // Cleared for the table of one run, it comes back for the next.
        bar.reset();
        bar.enable_steady_tick(TICK);
    }
    bar.set_message(what.to_owned());
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
