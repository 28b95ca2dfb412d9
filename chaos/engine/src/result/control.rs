//! What a run says of itself when it was a negative control.

use super::RunResult;
use crate::scenario::NegativeControl;

impl RunResult {
    /// In a sentence, that the run was a negative control, why its checks can't hold, and
    /// whether they did; `None` of any other run, and of one whose scenario is not in its log.
    #[must_use]
    pub fn negative_control(&self) -> Option<String> {
        let header = &self.run.header;
        let scenario = header.negative_control.then(|| header.scenario().ok())?;
        let control = scenario?.negative_control?;
        Some(words(&control, &control.objections(self)))
    }
}

fn words(control: &NegativeControl, objections: &[String]) -> String {
    let became = match objections {
        [] => "and they did not".to_owned(),
        all => format!("but it shows nothing: {}", all.join("; ")),
    };
    format!(
        "negative control: run without what its checks are about, because {}; its checks must not \
         hold ({}), {became}",
        control.because.trim().trim_end_matches('.'),
        control.fails.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use crate::result::RunResult;
    use crate::runlog::Entry;
    use crate::synthetic::{self, Model};

    /// The outage's control, whose breaker is off.
    fn control(no_breaker: bool) -> RunResult {
        let mut entries = synthetic::run(&Model {
            no_breaker,
            ..Model::default()
        });
        let Some(Entry::Run(header)) = entries.first_mut() else {
            panic!("no header")
        };
        header.negative_control = true;
        RunResult::from_entries(&entries).unwrap()
    }

    #[test]
    fn a_control_says_so_before_all_else() {
        let result = control(true);
        let said = result.negative_control().unwrap();
        assert!(said.starts_with("negative control: "), "{said}");
        for part in [
            "because ",
            "its checks must not hold (breaker-opens-at-five, ",
            "), and they did not",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
        let first: Vec<String> = result.table().lines().take(2).map(str::to_owned).collect();
        assert!(first[1].contains(&said), "{first:?}");
        let junit = crate::junit::render(&result, 1.0);
        assert!(junit.contains("<property name=\"negative_control\" value=\"negative control: "));
    }

    #[test]
    fn a_control_whose_checks_hold_shows_nothing() {
        let said = control(false).negative_control().unwrap();
        assert!(
            said.contains("but it shows nothing: `breaker-opens-at-five` holds without"),
            "{said}"
        );
    }

    #[test]
    fn other_runs_are_none() {
        let result = RunResult::from_entries(&synthetic::run(&Model::default())).unwrap();
        assert_eq!(result.negative_control(), None);
        assert!(!result.table().contains("negative control"));
        assert!(!crate::junit::render(&result, 1.0).contains("negative_control"));
    }
}
