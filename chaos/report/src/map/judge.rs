//! Where shop and simulator agree.

use chaos_engine::scenario::map::{DOWN, UP};
use serde::{Deserialize, Serialize};

use super::{ArmMap, MapPoint};
use crate::scale::short;
use crate::words::{list, percent, seconds};

/// What became of an arm after the trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has come back: 95 % and more are answered.
    Up,
    /// It has stayed down: less than half are.
    Down,
    /// Neither: chance, or the time that it was given, has not decided.
    Between,
}

impl Standing {
    /// By the share that is answered.
    #[must_use]
    pub fn of(answered: f64) -> Self {
        if answered >= UP {
            Self::Up
        } else if answered < DOWN {
            Self::Down
        } else {
            Self::Between
        }
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Between => "in between",
        }
    }
}

/// Whether shop and simulator say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Both are up, or both are down.
    Agree,
    /// One is up, the other down.
    Disagree,
    /// One of them is neither, or the point could not be measured.
    Undecided,
}

impl Agreement {
    /// Of a point; a measurement that does not count has no standing.
    #[must_use]
    pub fn of(measured: Option<Standing>, simulated: Standing) -> Self {
        match (measured, simulated) {
            (None | Some(Standing::Between), _) | (_, Standing::Between) => Self::Undecided,
            (Some(measured), simulated) if measured == simulated => Self::Agree,
            _ => Self::Disagree,
        }
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Agree => "agrees",
            Self::Disagree => "DISAGREES",
            Self::Undecided => "undecided",
        }
    }
}

/// The verdict on all points, and in words which of them disagree, or that all agree. One that
/// disagrees outweighs one that is undecided.
#[must_use]
pub fn judge(arms: &[ArmMap]) -> (Agreement, String) {
    let all: Vec<(&str, &MapPoint)> = arms
        .iter()
        .flat_map(|arm| arm.points.iter().map(|point| (&*arm.name, point)))
        .collect();
    let these = |wanted: Agreement| -> Vec<String> {
        let of = all.iter().filter(|(_, point)| point.agreement == wanted);
        of.map(|(arm, point)| told(arm, point)).collect()
    };
    let (disagree, open) = (these(Agreement::Disagree), these(Agreement::Undecided));
    let count = all.len();
    let mut said = Vec::new();
    if !disagree.is_empty() {
        said.push(format!(
            "{} of {count} points disagree: {}.",
            disagree.len(),
            list(&disagree)
        ));
    }
    if !open.is_empty() {
        said.push(format!(
            "{} of {count} points can’t be decided: {}.",
            open.len(),
            list(&open)
        ));
    }
    let verdict = match (disagree.is_empty(), open.is_empty() && count > 0) {
        (false, _) => Agreement::Disagree,
        (true, false) => Agreement::Undecided,
        (true, true) => Agreement::Agree,
    };
    said.push(match (verdict, count) {
        (Agreement::Agree, _) => format!("Shop and simulator agree at all {count} points."),
        (_, 0) => "No point was measured.".to_owned(),
        _ => {
            let rest = count - disagree.len() - open.len();
            format!("They agree at the other {rest}.")
        }
    });
    (verdict, said.join(" "))
}

/// `naive after 2 s at 50 % of the capacity (up, 99.1 %; the simulator says down, 0 %)`.
fn told(arm: &str, point: &MapPoint) -> String {
    let simulated = format!(
        "the simulator says {}, {}",
        point.simulated.standing.words(),
        percent(point.simulated.answered)
    );
    let measured = match (
        &point.measured.why,
        point.measured.standing,
        point.measured.answered,
    ) {
        (None, Some(standing), Some(share)) => format!("{}, {}", standing.words(), percent(share)),
        (why, ..) => format!(
            "not measured: {}",
            why.as_deref().unwrap_or("nothing is known of it")
        ),
    };
    format!(
        "{arm} after {} at {} % of the capacity ({measured}; {simulated})",
        seconds(point.trigger_s),
        short(point.load * 100.0, 1)
    )
}
