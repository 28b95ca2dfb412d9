//! Watching for what `[abort_when]` says, second by second.

use std::collections::BTreeMap;

use crate::latency::Latency;
use crate::runlog::{Frame, Outcomes};
use crate::scenario::AbortWhen;

/// Judges the seconds of a trial in their order.
pub(super) struct Guard {
    rule: Option<AbortWhen>,
    /// Seconds that may still grow: frames of one second add up.
    open: BTreeMap<i64, Second>,
    /// Requests sent and not answered at the end of the last judged second.
    under_way: u64,
    /// Bad seconds in a row.
    bad: u32,
}

#[derive(Default)]
struct Second {
    outcomes: Outcomes,
    slowest_s: f64,
    begun: u64,
    ended: u64,
}

impl Guard {
    pub(super) fn new(rule: Option<AbortWhen>) -> Self {
        Self {
            rule,
            open: BTreeMap::new(),
            under_way: 0,
            bad: 0,
        }
    }

    /// Takes in a frame; why the run must end, if it must.
    pub(super) fn note(&mut self, frame: &Frame) -> Option<String> {
        let rule = self.rule?;
        self.open.entry(frame.second).or_default().add(frame);
        // What is older than the latest frame is whole.
        while self.open.len() > 1 {
            let (_, second) = self.open.pop_first()?;
            self.under_way = (self.under_way + second.begun).saturating_sub(second.ended);
            let Some(why) = second.crosses(&rule, self.under_way) else {
                self.bad = 0;
                continue;
            };
            self.bad += 1;
            if self.bad >= rule.seconds {
                return Some(format!("{why}, for {} s in a row", rule.seconds));
            }
        }
        None
    }
}

impl Second {
    fn add(&mut self, frame: &Frame) {
        for cell in &frame.cells {
            self.outcomes.add(cell.outcomes);
            let slowest = Latency::from_base64(&cell.hdr).and_then(|l| l.max());
            self.slowest_s = self.slowest_s.max(slowest.unwrap_or_default());
        }
        let sum = |tenths: &[u32]| tenths.iter().copied().map(u64::from).sum::<u64>();
        self.begun += sum(&frame.flow.begun);
        self.ended += sum(&frame.flow.ended);
    }

    fn crosses(&self, rule: &AbortWhen, under_way: u64) -> Option<String> {
        let (served, of) = (self.outcomes.success(), self.outcomes.total());
        if let Some(least) = rule.served_below {
            if of == 0 && under_way > 0 {
                return Some(format!(
                    "{under_way} requests were under way and none answered"
                ));
            }
            if of > 0 && (served as f64) < least * of as f64 {
                let least = least * 100.0;
                return Some(format!(
                    "{served} of {of} answers were good, less than {least} %"
                ));
            }
        }
        let limit = rule.slower_than?;
        (self.slowest_s > limit.as_secs_f64()).then(|| {
            let slowest = self.slowest_s;
            format!("an answer took {slowest:.3} s, longer than {limit:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loadtest::Op;

    use super::*;
    use crate::latency;
    use crate::runlog::{Cell, Flow, Phase};

    fn frame(second: i64, (ok, failed): (u64, u64), slowest_ms: u64) -> Frame {
        let mut latency = latency::Recorder::default();
        latency.record_us(slowest_ms * 1_000);
        let cell = Cell {
            phase: Phase::Before,
            faults: Vec::new(),
            op: Op::Order,
            refused: false,
            stream: String::new(),
            priority: None,
            retry_after: 0,
            outcomes: Outcomes {
                ok,
                failed,
                ..Outcomes::default()
            },
            hdr: latency.to_base64(),
        };
        let answered = ok + failed;
        Frame {
            trial: 0,
            second,
            cells: if answered > 0 { vec![cell] } else { Vec::new() },
            links: Vec::new(),
            breakers: BTreeMap::new(),
            flow: Flow::default(),
            begun: BTreeMap::new(),
            acted: BTreeMap::new(),
        }
    }

    /// A second in which so many of ten answers were good, and the slowest took so long.
    fn second(second: i64, good: u64, slowest_ms: u64) -> Frame {
        frame(second, (good, 10 - good), slowest_ms)
    }

    fn rule(served_below: Option<f64>, slower_than: Option<Duration>) -> Guard {
        Guard::new(Some(AbortWhen {
            served_below,
            slower_than,
            seconds: 2,
        }))
    }

    #[test]
    fn two_bad_seconds_in_a_row_end_it_and_two_apart_do_not() {
        let mut guard = rule(Some(0.5), None);
        for (i, good) in [10, 4, 10, 4, 5].into_iter().enumerate() {
            assert_eq!(guard.note(&second(i as i64, good, 1)), None);
        }
        assert_eq!(guard.note(&second(5, 4, 1)), None);
        assert_eq!(guard.note(&second(6, 0, 1)), None);
        let why = guard.note(&second(7, 10, 1)).unwrap();
        assert!(why.starts_with("0 of 10 answers were good"), "{why}");
    }

    #[test]
    fn frames_of_one_second_add_up_before_it_is_judged() {
        let mut guard = rule(Some(0.5), None);
        for i in 0..6 {
            assert_eq!(guard.note(&second(i, 2, 1)), None);
            assert_eq!(guard.note(&second(i, 9, 1)), None);
        }
    }

    #[test]
    fn slowness_and_silence_count() {
        let mut guard = rule(None, Some(Duration::from_millis(500)));
        let all: Vec<_> = (0..4).map(|i| guard.note(&second(i, 10, 600))).collect();
        assert!(
            all[2]
                .as_ref()
                .is_some_and(|why| why.contains("longer than 500ms"))
        );

        let mut guard = rule(Some(0.5), None);
        let mut silent = frame(0, (0, 0), 0);
        silent.flow.begun[0] = 3;
        let mut found = None;
        for i in 0..4 {
            silent.second = i;
            found = found.or(guard.note(&silent));
        }
        assert!(found.unwrap().contains("none answered"));
    }

    #[test]
    fn without_a_rule_nothing_is_judged() {
        let mut guard = Guard::new(None);
        assert!((0..9).all(|i| guard.note(&second(i, 0, 9_000)).is_none()));
    }
}
