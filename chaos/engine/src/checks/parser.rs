//! The parser of checks. Names are resolved while parsing, so that every
//! mistake is reported where it stands.

use std::ops::Range;

use loadtest::Op;

use super::lexer::{Token, tokens};
use super::metric::{Metric, Scope, Unit};
use super::units::{Typed, bind_reset, same_unit, something_measured};
use super::{ArmRef, Claim, Expr, Measured, Names, Predicate, Selector, Window};
use crate::diagnostics::{closest, list};
use crate::scenario::known::LINKS;

/// Why a text is no check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The bytes of the check that are wrong.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// The nearest thing that would be right.
    pub suggestion: Option<String>,
}

impl Problem {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            suggestion: None,
        }
    }

    fn unknown(span: Range<usize>, what: &str, name: &str, known: &[&str]) -> Self {
        let near = closest(name, known.iter().copied());
        let message = match near {
            Some(_) => format!("unknown {what} `{name}`"),
            None => format!("unknown {what} `{name}`; known are {}", list(known)),
        };
        Self {
            span,
            message,
            suggestion: near.map(str::to_owned),
        }
    }
}

/// Parses a check against the names of its scenario.
///
/// # Errors
/// The first problem of the text.
pub fn parse(text: &str, names: &Names) -> Result<Predicate, Problem> {
    let mut p = Parser {
        tokens: tokens(text)?,
        at: 0,
        names,
    };
    let claim = p.claim()?;
    let (window, window_span) = p.when(&claim)?;
    if !matches!(p.peek(), Token::End) {
        let message = format!(
            "expected the end or a part of the run, found {}",
            p.peek().words()
        );
        let mut problem = Problem::new(p.span(), message);
        if let Token::Name(word) = p.peek() {
            let near = closest(word, ["before", "during", "while", "after"]);
            problem.suggestion = near.map(str::to_owned);
        }
        return Err(problem);
    }
    let predicate = Predicate { claim, window };
    p.scopes(&predicate, window_span)?;
    bind_reset(predicate, text)
}

struct Parser<'a> {
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    names: &'a Names,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn span(&self) -> Range<usize> {
        self.tokens[self.at].1.clone()
    }

    fn next(&mut self) -> (Token, Range<usize>) {
        let token = self.tokens[self.at].clone();
        // The end stays, however often it is asked for.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn eat(&mut self, want: &Token) -> bool {
        let found = self.peek() == want;
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, want: &Token, after: &str) -> Result<Range<usize>, Problem> {
        let (token, span) = self.next();
        if token == *want {
            return Ok(span);
        }
        let message = format!("expected {} {after}, found {}", want.words(), token.words());
        Err(Problem::new(span, message))
    }

    fn claim(&mut self) -> Result<Claim, Problem> {
        if *self.peek() == Token::Name("approx".to_owned()) {
            return self.approx();
        }
        let left = self.side()?;
        let (token, span) = self.next();
        let Token::Compare(op) = token else {
            let message = format!(
                "expected a comparison (>=, <=, >, <, ==, !=), found {}",
                token.words()
            );
            return Err(Problem::new(span, message));
        };
        let right = self.side()?;
        same_unit(&left, &right, &right.span)?;
        something_measured(&left, &right)?;
        Ok(Claim::Compare {
            left: left.expr,
            op,
            right: right.expr,
        })
    }

    fn approx(&mut self) -> Result<Claim, Problem> {
        self.next();
        self.expect(&Token::Open, "after `approx`")?;
        let left = self.side()?;
        self.expect(&Token::Comma, "after the quantity")?;
        let right = self.side()?;
        same_unit(&left, &right, &right.span)?;
        something_measured(&left, &right)?;
        self.expect(&Token::Comma, "before `within`")?;
        self.expect(&Token::Name("within".to_owned()), "in `approx`")?;
        let (token, span) = self.next();
        let Token::Percent(within) = token else {
            return Err(Problem::new(span, "expected a margin such as 5%"));
        };
        self.expect(&Token::Close, "at the end of `approx`")?;
        Ok(Claim::Approx {
            left: left.expr,
            right: right.expr,
            within,
        })
    }

    fn side(&mut self) -> Result<Typed, Problem> {
        let mut sum = self.term()?;
        while self.eat(&Token::Plus) {
            let more = self.term()?;
            same_unit(&sum, &more, &more.span)?;
            sum = Typed {
                span: sum.span.start..more.span.end,
                seconds: sum.seconds,
                expr: Expr::Add(Box::new(sum.expr), Box::new(more.expr)),
            };
        }
        Ok(sum)
    }

    fn term(&mut self) -> Result<Typed, Problem> {
        let mut product = self.factor()?;
        while self.eat(&Token::Star) {
            let more = self.factor()?;
            let span = product.span.start..more.span.end;
            if product.seconds && more.seconds {
                return Err(Problem::new(
                    span,
                    "a duration times a duration is no duration",
                ));
            }
            product = Typed {
                span,
                seconds: product.seconds || more.seconds,
                expr: Expr::Mul(Box::new(product.expr), Box::new(more.expr)),
            };
        }
        Ok(product)
    }

    fn factor(&mut self) -> Result<Typed, Problem> {
        let (token, span) = self.next();
        let plain = |n| Typed {
            expr: Expr::Number(n),
            seconds: false,
            span: span.clone(),
        };
        match token {
            Token::Number(n) | Token::Percent(n) => Ok(plain(n)),
            Token::Duration(n) => Ok(Typed {
                seconds: true,
                ..plain(n)
            }),
            Token::Open => {
                let inner = self.side()?;
                let end = self.expect(&Token::Close, "to close `(`")?.end;
                Ok(Typed {
                    span: span.start..end,
                    ..inner
                })
            }
            Token::Name(name) if name == "reset" => self.reset(span),
            Token::Name(name) => self.metric(&name, span),
            other => {
                let message = format!("expected a metric or a number, found {}", other.words());
                Err(Problem::new(span, message))
            }
        }
    }

    fn reset(&mut self, span: Range<usize>) -> Result<Typed, Problem> {
        let mut whole = span;
        let mut arm = ArmRef::Each;
        if self.eat(&Token::Open) {
            arm = self.arm()?;
            whole.end = self.expect(&Token::Close, "after the arm")?.end;
        }
        Ok(Typed {
            expr: Expr::Reset(arm),
            seconds: true,
            span: whole,
        })
    }

    fn metric(&mut self, name: &str, span: Range<usize>) -> Result<Typed, Problem> {
        let Some(metric) = Metric::named(name) else {
            let known: Vec<&str> = Metric::names().chain(["approx", "reset"]).collect();
            return Err(Problem::unknown(span, "metric", name, &known));
        };
        let mut found = Measured {
            metric,
            arm: ArmRef::Each,
            selector: Selector::All,
            limit: None,
        };
        let mut whole = span.clone();
        if self.eat(&Token::Open) {
            found.arm = self.arm()?;
            while self.eat(&Token::Comma) {
                self.argument(&mut found)?;
            }
            whole.end = self.expect(&Token::Close, "after the arguments")?.end;
        }
        self.complete(&mut found, &whole)?;
        let seconds = metric.unit() == Unit::Seconds;
        Ok(Typed {
            expr: Expr::Measured(found),
            seconds,
            span: whole,
        })
    }

    fn arm(&mut self) -> Result<ArmRef, Problem> {
        let (token, span) = self.next();
        match token {
            Token::Star => Ok(ArmRef::Each),
            Token::Name(name) if self.names.arms.contains(&name) => Ok(ArmRef::Named(name)),
            Token::Name(name) => {
                let known: Vec<&str> = self.names.arms.iter().map(String::as_str).collect();
                Err(Problem::unknown(span, "arm", &name, &known))
            }
            other => {
                let message = format!("expected an arm or `*`, found {}", other.words());
                Err(Problem::new(span, message))
            }
        }
    }

    fn argument(&mut self, m: &mut Measured) -> Result<(), Problem> {
        let (token, span) = self.next();
        match token {
            Token::Duration(limit) if m.metric == Metric::ShareUnder && m.limit.is_none() => {
                m.limit = Some(limit);
                Ok(())
            }
            Token::Name(name) if m.selector == Selector::All => {
                m.selector = selector(m.metric, &name, span)?;
                Ok(())
            }
            other => {
                let message = format!("`{}` takes no {} here", m.metric, other.words());
                Err(Problem::new(span, message))
            }
        }
    }

    /// Fills in what was left out, and says what must not be.
    fn complete(&self, m: &mut Measured, span: &Range<usize>) -> Result<(), Problem> {
        if m.metric == Metric::ShareUnder && m.limit.is_none() {
            let message = "`share_under` needs a limit: share_under(arm, 50ms)";
            return Err(Problem::new(span.clone(), message));
        }
        let needs_link = matches!(m.metric.scope(), Scope::Link | Scope::Breaker);
        if needs_link && m.selector == Selector::All {
            let mut links: Vec<&String> = self.names.faults.iter().map(|(_, link)| link).collect();
            links.dedup();
            let [link] = links.as_slice() else {
                let message = format!(
                    "`{}` needs a link: {}(arm, order-product)",
                    m.metric, m.metric
                );
                return Err(Problem::new(span.clone(), message));
            };
            m.selector = Selector::Link((*link).clone());
        }
        if m.selector == Selector::Refused && self.names.faults.is_empty() {
            let message = "`refused` is about the faulted link, and there is no fault";
            return Err(Problem::new(span.clone(), message));
        }
        Ok(())
    }

    fn when(&mut self, claim: &Claim) -> Result<(Window, Option<Range<usize>>), Problem> {
        let Token::Name(word) = self.peek().clone() else {
            return Ok((Window::Whole, None));
        };
        let start = self.span().start;
        let window = match word.as_str() {
            "before" => {
                self.next();
                self.fault()?;
                Window::Before
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

    /// `fault` (any, `None`) or the name of one.
    fn fault(&mut self) -> Result<Option<String>, Problem> {
        let (token, span) = self.next();
        let known: Vec<&str> = self
            .names
            .faults
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        match token {
            Token::Name(name) if name == "fault" && !known.is_empty() => Ok(None),
            Token::Name(name) if known.contains(&name.as_str()) => Ok(Some(name)),
            Token::Name(_) if known.is_empty() => Err(Problem::new(
                span,
                "the scenario has no fault on its time line",
            )),
            Token::Name(name) => Err(Problem::unknown(span, "fault", &name, &known)),
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
        match word.as_str() {
            "recovery" => Ok(Window::After),
            "fault" if from(&[Metric::OpenedWithin]) => Ok(Window::Whole),
            "clear" if from(&[Metric::ClosedWithin, Metric::Recovery]) => Ok(Window::Whole),
            "fault" => Err(Problem::new(
                span,
                "`after fault` goes with opened_within only",
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
    fn scopes(&self, predicate: &Predicate, span: Option<Range<usize>>) -> Result<(), Problem> {
        let Some(span) = span.filter(|_| predicate.window != Window::Whole) else {
            return Ok(());
        };
        for m in measured_in(&predicate.claim) {
            if matches!(m.metric.scope(), Scope::Breaker | Scope::Repeat) {
                let message = format!("`{}` is of the whole repeat, not of a part", m.metric);
                return Err(Problem::new(span, message));
            }
        }
        if self.names.faults.is_empty() && predicate.window != Window::Before {
            return Err(Problem::new(
                span,
                "the scenario has no fault on its time line",
            ));
        }
        Ok(())
    }
}

fn selector(metric: Metric, name: &str, span: Range<usize>) -> Result<Selector, Problem> {
    let links = LINKS
        .contains(&name)
        .then(|| Selector::Link(name.to_owned()));
    match metric.scope() {
        Scope::Repeat => Err(Problem::new(
            span,
            format!("`{metric}` takes an arm and nothing else"),
        )),
        Scope::Link | Scope::Breaker => {
            links.ok_or_else(|| Problem::unknown(span, "link", name, &LINKS))
        }
        Scope::Requests if name == "refused" => Ok(Selector::Refused),
        Scope::Requests => {
            let op = Op::ALL
                .into_iter()
                .find(|op| op.as_str() == name)
                .map(Selector::Op);
            op.or(links).ok_or_else(|| {
                let ops = Op::ALL.iter().map(|op| op.as_str());
                let known: Vec<&str> = ops.chain(["refused"]).chain(LINKS).collect();
                Problem::unknown(span, "selector", name, &known)
            })
        }
    }
}

pub(super) fn measured_in(claim: &Claim) -> Vec<&Measured> {
    let (Claim::Compare { left, right, .. } | Claim::Approx { left, right, .. }) = claim;
    let mut all = left.measured();
    all.extend(right.measured());
    all
}
