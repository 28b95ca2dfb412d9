//! What numbers mean, and whose reset is meant.

use std::ops::Range;

use super::parser::{Problem, measured_in};
use super::{ArmRef, Claim, Expr, Operation, Predicate};

/// An expression with what its number means.
pub(super) struct Typed {
    pub(super) expr: Expr,
    pub(super) seconds: bool,
    pub(super) span: Range<usize>,
}

pub(super) fn same_unit(a: &Typed, b: &Typed, at: &Range<usize>) -> Result<(), Problem> {
    if a.seconds == b.seconds {
        return Ok(());
    }
    let message = if a.seconds {
        "this must be a duration, such as 50ms or 2s"
    } else {
        "this must be a plain number or a percentage, not a duration"
    };
    Err(Problem::new(at.clone(), message))
}

/// Two sides joined, if what they mean goes together.
pub(super) fn joined(a: Typed, how: Operation, b: Typed) -> Result<Typed, Problem> {
    let span = a.span.start..b.span.end;
    let seconds = match how {
        Operation::Add | Operation::Max | Operation::Min => {
            same_unit(&a, &b, &b.span)?;
            a.seconds
        }
        Operation::Mul if a.seconds && b.seconds => {
            let message = "a duration times a duration is no duration";
            return Err(Problem::new(span, message));
        }
        Operation::Div if b.seconds && !a.seconds => {
            let message = "a number divided by a duration is neither";
            return Err(Problem::new(span, message));
        }
        Operation::Mul => a.seconds || b.seconds,
        Operation::Div => a.seconds && !b.seconds,
    };
    let expr = Expr::Both(how, Box::new(a.expr), Box::new(b.expr));
    Ok(Typed {
        expr,
        seconds,
        span,
    })
}

pub(super) fn something_measured(left: &Typed, right: &Typed) -> Result<(), Problem> {
    if left.expr.measured().is_empty() && right.expr.measured().is_empty() {
        return Err(Problem::new(
            left.span.start..right.span.end,
            "nothing measured is compared",
        ));
    }
    Ok(())
}

/// Gives `reset` without an arm the arm of the check, which must be one.
pub(super) fn bind_reset(mut predicate: Predicate, text: &str) -> Result<Predicate, Problem> {
    let mut arms: Vec<ArmRef> = measured_in(&predicate.claim)
        .into_iter()
        .map(|m| m.arm.clone())
        .collect();
    arms.dedup();
    let (Claim::Compare { left, right, .. } | Claim::Approx { left, right, .. }) =
        &mut predicate.claim;
    if !has_open_reset(left) && !has_open_reset(right) {
        return Ok(predicate);
    }
    let [arm] = arms.as_slice() else {
        let at = text.find("reset").unwrap_or(0);
        let message = "whose reset? The check is about several arms: write reset(arm)";
        return Err(Problem::new(at..at + "reset".len(), message));
    };
    fill_reset(left, arm);
    fill_reset(right, arm);
    Ok(predicate)
}

fn has_open_reset(expr: &Expr) -> bool {
    match expr {
        Expr::Reset(arm) => *arm == ArmRef::Each,
        Expr::Both(_, a, b) => has_open_reset(a) || has_open_reset(b),
        Expr::Number(_) | Expr::Measured(_) => false,
    }
}

fn fill_reset(expr: &mut Expr, with: &ArmRef) {
    match expr {
        Expr::Reset(arm) if *arm == ArmRef::Each => *arm = with.clone(),
        Expr::Both(_, a, b) => {
            fill_reset(a, with);
            fill_reset(b, with);
        }
        _ => {}
    }
}
