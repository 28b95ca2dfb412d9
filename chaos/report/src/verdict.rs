//! The verdict: first on the page, and never by colour alone.

use chaos_engine::{RunResult, Verdict};

use crate::markup::{El, el};
use crate::words::plural;

/// Four different things. `Error` is the lab's: it could not measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Pass,
    Fail,
    Inconclusive,
    Error,
}

impl Shown {
    pub(crate) fn of(verdict: Verdict) -> Self {
        match verdict.exit_code() {
            0 => Self::Pass,
            1 => Self::Fail,
            2 => Self::Inconclusive,
            _ => Self::Error,
        }
    }

    /// The run's: a log that was cut off is the lab's error, whatever is in it.
    pub(crate) fn of_run(result: &RunResult) -> Self {
        if result.run.complete {
            Self::of(result.verdict)
        } else {
            Self::Error
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Fail => "Fail",
            Self::Inconclusive => "Inconclusive",
            Self::Error => "Error",
        }
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Error => "error",
        }
    }

    /// A shape of its own for each, so that grey tells them apart: a tick in a
    /// circle, a cross in an octagon, a question in a diamond, an exclamation in a
    /// triangle.
    pub(crate) fn icon(self) -> El {
        let (outline, sign) = match self {
            Self::Pass => (
                "M12 1a11 11 0 1 1 0 22a11 11 0 1 1 0-22Z",
                "M6.5 12.5l4 4l7.5-8.5",
            ),
            Self::Fail => (
                "M7.5 1h9L23 7.5v9L16.5 23h-9L1 16.5v-9Z",
                "M8 8l8 8M16 8l-8 8",
            ),
            Self::Inconclusive => (
                "M12 .5L23.5 12L12 23.5L.5 12Z",
                "M9.2 9.6a2.8 2.8 0 1 1 4 2.6c-.9.5-1.2.9-1.2 1.9M12 16.6v.3",
            ),
            Self::Error => ("M12 1.5L23.5 22.5H.5Z", "M12 9v6.5M12 18.6v.3"),
        };
        el("svg")
            .class(format!("icon {}", self.class()))
            .attr("viewBox", "0 0 24 24")
            .attr("width", 24)
            .attr("height", 24)
            .attr("aria-hidden", "true")
            .child(el("path").class("outline").attr("d", outline))
            .child(el("path").class("sign").attr("d", sign))
    }

    /// Icon and word.
    pub(crate) fn badge(self) -> El {
        el("span")
            .class(format!("badge {}", self.class()))
            .child(self.icon())
            .text(self.word())
    }
}

/// What goes before the verdict: that the run was a negative control.
pub(crate) fn control(result: &RunResult) -> Option<String> {
    let words = result.negative_control()?;
    Some(words.replacen("negative", "Negative", 1) + ".")
}

/// Why the verdict is what it is, in a line.
pub(crate) fn why(result: &RunResult) -> String {
    let of = |v: Verdict| {
        let ids = result
            .checks
            .iter()
            .filter(|c| c.verdict == v)
            .map(|c| c.id.as_str());
        ids.collect::<Vec<_>>()
    };
    let (failed, open) = (of(Verdict::Fail), of(Verdict::Inconclusive));
    let all = plural(result.checks.len() as u64, "check");
    match Shown::of_run(result) {
        Shown::Error => {
            "The lab ended before the run did: the log has no last line. What is shown is what it had measured by then."
                .to_owned()
        }
        Shown::Pass if result.checks.len() == 1 => "The one check holds.".to_owned(),
        Shown::Pass => format!("All {all} hold."),
        Shown::Fail => format!("{} of {all} failed: {}.", failed.len(), failed.join(", ")),
        Shown::Inconclusive if result.reasons.is_empty() => {
            format!("{} of {all} can’t be decided: {}.", open.len(), open.join(", "))
        }
        Shown::Inconclusive => format!("It can’t be said: {}.", result.reasons.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markup::Markup;

    #[test]
    fn the_four_differ_by_word_and_shape() {
        let all = [Shown::Pass, Shown::Fail, Shown::Inconclusive, Shown::Error];
        let shape = |s: Shown| Markup::from(s.icon()).into_string().replace(s.class(), "");
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a.word(), b.word());
                assert_ne!(shape(*a), shape(*b));
            }
        }
        assert_eq!(Shown::of(Verdict::Fail), Shown::Fail);
    }
}
