//! Checks on a target where not everybody tells what he does: what nobody told of did
//! not happen zero times.

use super::parser::measured_in;
use super::{Check, CheckResult, Measured, Scope, Selector};
use crate::verdict::Verdict;

/// The result of a check, inconclusive if it rests on attempts that nobody tells of.
/// `tells` has the links whose attempts are told; `None` for all.
pub(crate) fn without_data(
    check: &Check,
    decided: CheckResult,
    tells: Option<&[String]>,
) -> CheckResult {
    let Some(tells) = tells else { return decided };
    let measured = measured_in(&check.predicate.claim);
    match measured.into_iter().find_map(|m| untold(m, tells)) {
        None => decided,
        Some(what) => CheckResult {
            verdict: Verdict::Inconclusive,
            measured: None,
            low: None,
            high: None,
            n: 0,
            more_repeats: None,
            evidence: format!("nobody on this target tells of {what}"),
            ..decided
        },
    }
}

fn untold(m: &Measured, tells: &[String]) -> Option<String> {
    match (&m.selector, m.metric.scope()) {
        (Selector::Link(link), _) => {
            (!tells.contains(link)).then(|| format!("the attempts over `{link}`"))
        }
        (Selector::AnyLink, _) | (_, Scope::Work) => Some("every link and door".to_owned()),
        (Selector::Refused, _) => Some("refused calls".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{Names, parse};

    fn of(text: &str, tells: &[&str]) -> Option<String> {
        let names = Names {
            arms: vec!["fast".to_owned()],
            faults: vec![("outage".to_owned(), "order-product".to_owned())],
            ..Names::default()
        };
        let predicate = parse(text, &names).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let tells: Vec<String> = tells.iter().map(|l| (*l).to_owned()).collect();
        let measured = measured_in(&predicate.claim);
        measured.into_iter().find_map(|m| untold(m, &tells))
    }

    #[test]
    fn what_nobody_tells_is_not_zero() {
        assert_eq!(of("failed(fast) == 0", &[]), None);
        assert_eq!(of("p99(fast) < 1s during outage", &[]), None);
        let breaker = "opens(fast, order-product) == 0";
        assert!(of(breaker, &["load"]).unwrap().contains("order-product"));
        assert_eq!(of(breaker, &["order-product"]), None);
        assert!(of("attempts(fast, order-user) < 3", &["load"]).is_some());
        assert!(of("share_under(fast, 50ms, refused) >= 1%", &[]).is_some());
    }
}
