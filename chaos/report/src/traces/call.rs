//! The calls of a request, from the lines that tell of it.

use std::collections::BTreeMap;

use super::read::Line;

/// A logical call over one link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    pub(crate) link: String,
    pub(crate) method: String,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    /// `None`: nobody told.
    pub(crate) outcome: Option<String>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) faults: Vec<Fault>,
    /// Work that was for nobody: from when to when.
    pub(crate) wasted: Vec<(i64, i64)>,
    pub(crate) deadline_us: Option<i64>,
    /// Its end was told, and its attempts with it: nothing is inferred.
    told: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    pub(crate) ok: bool,
    pub(crate) words: String,
    /// Its caller left: the loser of a hedge, or a call that was given up.
    pub(crate) cancelled: bool,
    pub(crate) hedge: bool,
    /// Nobody told when it was made: it follows from the waits around it.
    pub(crate) inferred: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wait {
    pub(crate) before: u32,
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) at_us: i64,
    pub(crate) attempt: u32,
    pub(crate) reason: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) at_us: i64,
    pub(crate) attempt: u32,
    pub(crate) name: String,
    pub(crate) action: String,
}

/// The calls of a request in the order in which they began. Runs of older versions tell of no
/// call's end: there, all that goes over one link is one call.
pub(super) fn of(lines: &[Line], deadline_us: impl Fn(&str) -> Option<i64>) -> Vec<Call> {
    let mut by_method: BTreeMap<(&str, &str), Vec<&Line>> = BTreeMap::new();
    for line in lines.iter().filter(|l| !l.link.is_empty()) {
        let key = (line.link.as_str(), line.method.as_str());
        by_method.entry(key).or_default().push(line);
    }
    let mut calls: Vec<Call> = Vec::new();
    for ((link, _), lines) in by_method {
        let deadline_us = deadline_us(link);
        calls.extend(over_one_link(&lines, deadline_us));
    }
    calls.sort_by_key(|c| c.from_us);
    calls
}

fn over_one_link(lines: &[&Line], deadline_us: Option<i64>) -> Vec<Call> {
    let ends = lines.iter().filter(|l| l.kind == "call");
    let mut calls: Vec<Call> = ends.map(|l| Call::new(l, deadline_us, true)).collect();
    if calls.is_empty() {
        calls.extend(lines.first().map(|l| Call::new(l, deadline_us, false)));
    }
    for line in lines.iter().filter(|l| l.kind != "call") {
        // Of calls at the same time the first that has no attempt of that number yet.
        let nearest = |c: &&mut Call| (c.far_from(line), c.has(line));
        if let Some(call) = calls.iter_mut().min_by_key(nearest) {
            call.hears(line);
        }
    }
    calls
}

fn from_us(line: &Line) -> i64 {
    line.started_us.unwrap_or(line.t_us)
}

impl Call {
    fn new(line: &Line, deadline_us: Option<i64>, told: bool) -> Self {
        Self {
            link: line.link.clone(),
            method: line.method.clone(),
            from_us: from_us(line),
            to_us: line.t_us,
            outcome: line.outcome.clone(),
            deadline_us,
            told,
            ..Self::default()
        }
    }

    /// How far outside of its life something began, in microseconds.
    fn far_from(&self, line: &Line) -> i64 {
        let at = from_us(line);
        (self.from_us - at).max(at - self.to_us).max(0)
    }

    /// Whether it has the attempt that a line tells of already.
    fn has(&self, line: &Line) -> bool {
        line.kind == "attempt"
            && self
                .attempts
                .iter()
                .any(|a| !a.inferred && Some(a.number) == line.attempt)
    }

    fn hears(&mut self, line: &Line) {
        if !self.told {
            self.from_us = self.from_us.min(from_us(line));
            self.to_us = self.to_us.max(line.t_us);
        }
        let number = line.attempt.unwrap_or(1);
        match line.kind.as_str() {
            "attempt" => self.attempt(number, line),
            "wasted" => {
                let took = i64::try_from(line.took_us.unwrap_or(0)).unwrap_or(0);
                self.wasted.push((line.t_us - took, line.t_us));
            }
            "wait" => {
                let to_us = line.t_us + i64::try_from(line.wait_us.unwrap_or(0)).unwrap_or(0);
                self.waits.push(Wait {
                    before: number,
                    from_us: line.t_us,
                    to_us,
                });
                if !self.told {
                    self.to_us = self.to_us.max(to_us);
                }
            }
            "hedge" => self.attempts.push(Attempt {
                number,
                from_us: line.t_us,
                to_us: line.t_us,
                hedge: true,
                inferred: true,
                words: "second copy".to_owned(),
                ..Attempt::default()
            }),
            "hedge_won" => {
                if let Some(a) = self.attempts.iter_mut().find(|a| a.number == number) {
                    (a.ok, a.to_us, a.words) = (true, line.t_us, "answered first".to_owned());
                }
            }
            "refused" | "shed" => self.refused.push(Refused {
                at_us: line.t_us,
                attempt: number,
                reason: line.reason.clone().unwrap_or_default(),
            }),
            "fault" => {
                let delay = line.delay_us.map_or_else(String::new, |us| {
                    format!(" {}", crate::words::seconds(us as f64 / 1e6))
                });
                self.faults.push(Fault {
                    at_us: line.t_us,
                    attempt: number,
                    name: line.fault.clone().unwrap_or_default(),
                    action: line.action.clone().unwrap_or_default() + &delay,
                });
            }
            _ => {}
        }
    }

    fn attempt(&mut self, number: u32, line: &Line) {
        let ok = line.ok.unwrap_or(true);
        // What was told when it was sent, or when it won.
        let copy = self
            .attempts
            .iter()
            .position(|a| a.number == number && a.inferred);
        let copy = copy.map(|i| self.attempts.remove(i));
        let failed = || line.status.clone().or_else(|| line.failure.clone());
        let words = match (ok, &copy) {
            (true, Some(copy)) if copy.ok => copy.words.clone(),
            (true, _) => "ok".to_owned(),
            (false, _) => failed().unwrap_or_else(|| "failed".to_owned()),
        };
        self.attempts.push(Attempt {
            number,
            from_us: from_us(line),
            to_us: line.t_us,
            ok,
            words,
            cancelled: line.cancelled,
            hedge: copy.is_some_and(|copy| copy.hedge),
            inferred: false,
        });
    }

    /// Fills in what follows from the rest: its request was under way from `begin_us` to
    /// `end_us`.
    pub(super) fn complete(&mut self, begin_us: i64, end_us: i64) {
        if !self.told {
            self.infer(begin_us, end_us);
            let spans = self.attempts.iter().map(|a| (a.from_us, a.to_us));
            (self.from_us, self.to_us) = spans.fold((self.from_us, self.to_us), |(f, t), a| {
                (f.min(a.0), t.max(a.1))
            });
        }
        self.attempts.sort_by_key(|a| (a.from_us, a.number));
    }

    /// Attempts that nobody told of, from what lies between the waits: each wait
    /// begins where an attempt failed and ends where the next begins.
    fn infer(&mut self, begin_us: i64, end_us: i64) {
        let nothing = self.attempts.is_empty() && self.waits.is_empty();
        if nothing && self.faults.is_empty() && self.refused.is_empty() {
            // A door that only told of wasted work makes no attempts.
            return;
        }
        self.waits.sort_by_key(|w| w.from_us);
        let mut from_us = begin_us.min(self.from_us);
        let known = |number: u32, all: &[Attempt]| all.iter().any(|a| a.number == number);
        for wait in &self.waits {
            let number = wait.before.saturating_sub(1).max(1);
            if !known(number, &self.attempts) {
                self.attempts
                    .push(inferred(number, from_us, wait.from_us, false));
            }
            from_us = wait.to_us;
        }
        let last = self.waits.last().map_or(1, |w| w.before);
        let never = self.refused.iter().any(|r| r.attempt == last);
        if !never && !known(last, &self.attempts) {
            let ok = self.faults.iter().all(|f| f.attempt != last);
            self.attempts
                .push(inferred(last, from_us, end_us.max(from_us), ok));
        }
        self.attempts.sort_by_key(|a| a.number);
    }
}

fn inferred(number: u32, from_us: i64, to_us: i64, ok: bool) -> Attempt {
    let words = if ok { "" } else { "failed" };
    Attempt {
        number,
        from_us,
        to_us,
        ok,
        words: words.to_owned(),
        inferred: true,
        ..Attempt::default()
    }
}
