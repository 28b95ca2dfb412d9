//! Over which part of the run something is measured.

use std::ops::Range;

use super::{Parser, Problem, Token, measured_in};
use crate::checks::metric::{Metric, Scope};
use crate::checks::{Claim, Measured, Predicate, Window};

impl Parser<'_> {
    /// The check's own part of the run, and where it stands.
    pub(super) fn when(
        &mut self,
        claim: &Claim,
    ) -> Result<(Window, Option<Range<usize>>), Problem> {
        let Token::Name(word) = self.peek().clone() else {
            return Ok((Window::Whole, None));
        };
        let start = self.span().start;
        let window = match word.as_str() {
            "before" => {
                self.next();
                self.before()?
            }
            "during" => {
                self.next();
                self.fault()?.map_or(Window::During, Window::DuringFault)
            }
            "while" => {
                self.next();
                self.expect(&Token::Name("recovering".to_owned()), "after `while`")?;
                Window::Recovering
            }
            "after" => {
                self.next();
                self.after(claim)?
            }
            _ => return Ok((Window::Whole, None)),
        };
        let end = self.tokens[self.at.saturating_sub(1)].1.end;
        Ok((window, Some(start..end)))
    }

    /// What stands after `@`, and where it ends.
    pub(super) fn own_window(&mut self) -> Result<(Window, usize), Problem> {
        let (token, span) = self.next();
        let Token::Name(name) = token else {
            let message = format!(
                "expected a part of the run after `@`, such as @before or a window's name, found {}",
                token.words()
            );
            return Err(Problem::new(span, message));
        };
        let window = match name.as_str() {
            "whole" => Window::Whole,
            "before" => Window::Before,
            "during" => Window::During,
            "recovering" => Window::Recovering,
            "after" => Window::After,
            name if self.is_window(name) => Window::DuringFault(name.to_owned()),
            name => {
                let parts = ["before", "during", "recovering", "after", "whole"];
                let known: Vec<&str> = parts.into_iter().chain(self.windows()).collect();
                return Err(Problem::unknown(span, "part of the run", name, &known));
            }
        };
        if self.names.faults.is_empty() && of_a_fault(&window) {
            return Err(Problem::new(span, NO_FAULT));
        }
        Ok((window, span.end))
    }

    fn windows(&self) -> impl Iterator<Item = &str> {
        let faults = self.names.faults.iter().map(|(name, _)| name.as_str());
        faults.chain(self.names.windows.iter().map(String::as_str))
    }

    fn is_window(&self, name: &str) -> bool {
        self.windows().any(|known| known == name)
    }

    fn before(&mut self) -> Result<Window, Problem> {
        let span = self.span();
        match self.fault()? {
            Some(name) if self.names.windows.contains(&name) => Err(Problem::new(
                span,
                format!(
                    "`{name}` is a window and no fault: give what comes before it a [[window]] of its own"
                ),
            )),
            _ => Ok(Window::Before),
        }
    }

    /// `fault` (any, `None`) or the name of one, or of a window.
    fn fault(&mut self) -> Result<Option<String>, Problem> {
        let (token, span) = self.next();
        let faults = !self.names.faults.is_empty();
        match token {
            Token::Name(name) if name == "fault" && faults => Ok(None),
            Token::Name(name) if self.is_window(&name) => Ok(Some(name)),
            Token::Name(name) if name == "fault" || self.windows().next().is_none() => {
                Err(Problem::new(span, NO_FAULT))
            }
            Token::Name(name) => {
                let known: Vec<&str> = self.windows().collect();
                Err(Problem::unknown(span, "fault", &name, &known))
            }
            other => {
                let message = format!("expected a fault's name, found {}", other.words());
                Err(Problem::new(span, message))
            }
        }
    }

    fn after(&mut self, claim: &Claim) -> Result<Window, Problem> {
        let (token, span) = self.next();
        let Token::Name(word) = token else {
            return Err(Problem::new(
                span,
                "expected `recovery`, `fault` or `clear` after `after`",
            ));
        };
        // `after fault` and `after clear` say from where such a metric counts.
        let from = |wanted: &[Metric]| {
            let all = measured_in(claim);
            !all.is_empty() && all.iter().all(|m| wanted.contains(&m.metric))
        };
        let opened = [
            Metric::OpenedWithin,
            Metric::OpenedAfterCalls,
            Metric::OpenedAfterFailures,
        ];
        match word.as_str() {
            "recovery" => Ok(Window::After),
            "fault" if from(&opened) => Ok(Window::Whole),
            "clear" if from(&[Metric::ClosedWithin, Metric::Recovery]) => Ok(Window::Whole),
            "fault" => Err(Problem::new(
                span,
                "`after fault` goes with opened_within and the other opened_… only",
            )),
            "clear" => Err(Problem::new(
                span,
                "`after clear` goes with closed_within and recovery_s only",
            )),
            _ => Err(Problem::unknown(
                span,
                "part of the run: after",
                &word,
                &["recovery", "fault", "clear"],
            )),
        }
    }

    /// Metrics of the whole repeat have no part of it.
    pub(super) fn scopes(
        &self,
        predicate: &Predicate,
        when: Option<Range<usize>>,
    ) -> Result<(), Problem> {
        let everywhere = 0..self.tokens.last().map_or(0, |t| t.1.end);
        let span = when.clone().unwrap_or(everywhere);
        for m in measured_in(&predicate.claim) {
            let window = m.window.as_ref().unwrap_or(&predicate.window);
            if *window != Window::Whole && of_the_whole(m) {
                let message = format!("`{}` is of the whole repeat, not of a part", m.metric);
                return Err(Problem::new(span, message));
            }
        }
        if when.is_some() && self.names.faults.is_empty() && of_a_fault(&predicate.window) {
            return Err(Problem::new(span, NO_FAULT));
        }
        Ok(())
    }
}

const NO_FAULT: &str = "the scenario has no fault on its time line";

/// Whether there is such a part only when something is broken. (Without a fault everything
/// comes before it.)
fn of_a_fault(window: &Window) -> bool {
    matches!(window, Window::During | Window::Recovering | Window::After)
}

fn of_the_whole(m: &Measured) -> bool {
    m.metric.scope() == Scope::Repeat || m.metric == Metric::ClosedWithin
}
