//! Counts of tests, and the names of those that did not pass.

/// What came out of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Their names.
    pub failures: Vec<String>,
    /// What was left out, each with its reason.
    pub left_out: Vec<String>,
    /// How many of those libtest has counted, or will count, as passed.
    vacuous: usize,
}

impl Tally {
    /// How many were left out.
    pub fn skipped(&self) -> usize {
        self.left_out.len()
    }

    /// One check by its outcome.
    pub fn check(&mut self, name: &str, held: bool) {
        if held {
            self.passed += 1;
        } else {
            self.fail(name);
        }
    }

    /// One failure.
    pub fn fail(&mut self, name: &str) {
        self.failed += 1;
        self.failures.push(name.to_owned());
    }

    /// One thing that could not be tested here.
    pub fn leave_out(&mut self, name: &str, reason: &str) {
        self.left_out.push(format!("{name}: {reason}"));
    }

    /// Takes over another's counts.
    pub fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures.iter().cloned());
        self.left_out.extend(other.left_out.iter().cloned());
    }

    /// Turns everything that was left out into a failure.
    pub fn fail_what_was_left_out(&mut self) {
        self.failed += self.left_out.len();
        self.left_out.clear();
    }

    /// Reads a line of libtest's output.
    pub fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
        } else if let Some((name, rest)) = test_line(line) {
            if rest.starts_with("FAILED") {
                self.failures.push(name.to_owned());
            } else if let Some(reason) = rest.strip_prefix("ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                // Not for want of anything: `super::night` runs it.
                if !reason.starts_with("at night") {
                    self.leave_out(name, reason);
                }
            }
        } else if let Some(what) = line.trim_start().strip_prefix("left out: ") {
            self.tell_left_out(what);
        }
    }

    /// A test that found its server missing and returned: libtest counts it as passed, we don't.
    fn tell_left_out(&mut self, what: &str) {
        if !self.left_out.iter().any(|known| known == what) {
            self.left_out.push(what.to_owned());
            self.vacuous += 1;
        }
    }

    /// Takes the tests that said they were left out off those that passed; once, at the end.
    pub fn settle(&mut self) {
        self.passed = self
            .passed
            .saturating_sub(std::mem::take(&mut self.vacuous));
    }
}

/// `test NAME ... OUTCOME`
fn test_line(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.rsplit_once(" ... ")
}

/// The number before a word: `ok. 12 passed; 0 failed; …`.
fn count(line: &str, word: &str) -> usize {
    line.split([';', '.'])
        .filter_map(|piece| piece.trim().strip_suffix(word))
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 5 tests
test breaker::opens ... ok
test breaker::closes ... FAILED
test real_toxiproxy ... ignored, not installed
test slot::swap - should panic ... ok
test timing ... ignored, at night: takes minutes

test result: FAILED. 2 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s
running 1 test
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.00s
left out: toxiproxy-server not installed (reset)
left out: toxiproxy-server not installed (reset)
";

    #[test]
    fn libtest_output_is_counted_and_named() {
        let mut tally = Tally::default();
        OUTPUT.lines().for_each(|line| tally.read(line));
        tally.settle();
        assert_eq!((tally.passed, tally.failed, tally.skipped()), (2, 1, 2));
        assert_eq!(tally.failures, ["breaker::closes"]);
        assert_eq!(tally.left_out[0], "real_toxiproxy: not installed");
        assert_eq!(tally.left_out[1], "toxiproxy-server not installed (reset)");
    }

    #[test]
    fn what_was_left_out_can_be_made_to_fail() {
        let mut tally = Tally::default();
        tally.check("fmt", true);
        tally.leave_out("x", "no server");
        tally.fail_what_was_left_out();
        assert_eq!((tally.passed, tally.failed, tally.skipped()), (1, 1, 0));
    }
}
