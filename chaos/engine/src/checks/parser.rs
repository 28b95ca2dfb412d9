//! The parser of checks. Names are resolved while parsing, so that every
//! mistake is reported where it stands.

mod selector;
mod when;

use std::ops::Range;

use super::lexer::{Token, tokens};
use super::metric::{Metric, Scope, Unit};
use super::units::{Typed, bind_reset, joined, same_unit, something_measured};
use super::{ArmRef, Claim, Expr, Measured, Names, Operation, Predicate, Selector};
use crate::diagnostics::{closest, list};
use selector::selector;

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
            sum = joined(sum, Operation::Add, self.term()?)?;
        }
        Ok(sum)
    }

    fn term(&mut self) -> Result<Typed, Problem> {
        let mut product = self.factor()?;
        loop {
            let how = match self.peek() {
                Token::Star => Operation::Mul,
                Token::Slash => Operation::Div,
                _ => return Ok(product),
            };
            self.next();
            product = joined(product, how, self.factor()?)?;
        }
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
            Token::Name(name) if name == "max" && self.chooses() => {
                self.choice(Operation::Max, span)
            }
            Token::Name(name) if name == "min" => self.choice(Operation::Min, span),
            Token::Name(name) => self.metric(&name, span),
            other => {
                let message = format!("expected a metric or a number, found {}", other.words());
                Err(Problem::new(span, message))
            }
        }
    }

    /// Whether `max` is the greater of two sides and not the longest latency: it is when
    /// what follows in the brackets is no arm.
    fn chooses(&self) -> bool {
        let token = |ahead: usize| self.tokens.get(self.at + ahead).map(|t| &t.0);
        if token(0) != Some(&Token::Open) {
            return false;
        }
        let arm = match token(1) {
            Some(Token::Star) => true,
            Some(Token::Name(name)) => self.names.arms.contains(name),
            _ => false,
        };
        !(arm && matches!(token(2), Some(Token::Comma | Token::Close)))
    }

    /// `max(a, b, …)` or `min(a, b, …)`, its name read already.
    fn choice(&mut self, which: Operation, span: Range<usize>) -> Result<Typed, Problem> {
        self.expect(&Token::Open, "after `max` or `min`")?;
        let mut found = self.side()?;
        self.expect(&Token::Comma, "between the sides to choose from")?;
        loop {
            found = joined(found, which, self.side()?)?;
            if !self.eat(&Token::Comma) {
                break;
            }
        }
        found.span = span.start..self.expect(&Token::Close, "after the sides")?.end;
        Ok(found)
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
            let known: Vec<&str> = Metric::names().chain(["approx", "reset", "min"]).collect();
            return Err(Problem::unknown(span, "metric", name, &known));
        };
        let mut found = Measured {
            metric,
            arm: ArmRef::Each,
            selector: Selector::All,
            limit: None,
            window: None,
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
        if self.eat(&Token::At) {
            let (window, end) = self.own_window()?;
            found.window = Some(window);
            whole.end = end;
        }
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
                m.selector = selector(self.names, m.metric, &name, span)?;
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
        let needs_link = matches!(
            m.metric.scope(),
            Scope::Link | Scope::LinkTraffic | Scope::Breaker
        );
        if m.selector == Selector::All && m.metric.scope() == Scope::Work {
            m.selector = Selector::AnyLink;
        } else if needs_link && m.selector == Selector::All {
            let Some(link) = self.names.broken_link() else {
                let message = format!(
                    "`{}` needs a link: {}(arm, order-product)",
                    m.metric, m.metric
                );
                return Err(Problem::new(span.clone(), message));
            };
            m.selector = Selector::Link(link.to_owned());
        }
        if m.selector == Selector::Refused && self.names.faults.is_empty() {
            let message = "`refused` is about the faulted link, and there is no fault";
            return Err(Problem::new(span.clone(), message));
        }
        Ok(())
    }
}

pub(super) fn measured_in(claim: &Claim) -> Vec<&Measured> {
    let (Claim::Compare { left, right, .. } | Claim::Approx { left, right, .. }) = claim;
    let mut all = left.measured();
    all.extend(right.measured());
    all
}
