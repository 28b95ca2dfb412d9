//! Requests and calls a second: outcomes stacked, attempts beside calls.

use super::plot::{Key, Limit, Path, Plot};
use crate::data::{ArmData, Data, Second};
use crate::markup::Markup;
use crate::scale::{Time, Up, keep_extremes, short};
use crate::words;

const HEIGHT: f64 = 132.0;
const LINK_HEIGHT: f64 = 96.0;
/// Seconds that are drawn one by one; a longer run keeps its extremes.
const ROOM: usize = 600;

/// The outcomes from below, each with its class and word.
pub(crate) const OUTCOMES: [(&str, &str); 4] = [
    ("ok", "ok"),
    ("degraded", "degraded"),
    ("rejected", "refused"),
    ("failed", "failed"),
];

pub(super) fn outcomes(data: &Data, arm: &ArmData, limits: Vec<Limit>) -> Plot {
    let up = Up::linear(HEIGHT, data.most(Second::requests));
    let unlucky = |i: usize| arm.seconds[i].outcomes[2] + arm.seconds[i].outcomes[3];
    let kept = keep_extremes(arm.seconds.len(), ROOM, unlucky);
    let layers = (0..4).filter_map(|i| layer(arm, &kept, i, &up, data.time).draw(OUTCOMES[i].0));
    let drawn: Markup = layers.collect();
    let seen = |i: &usize| data.most(|s| s.outcomes[*i]) > 0.0 || *i == 0 || *i == 3;
    let key = |i: usize| Key {
        class: OUTCOMES[i].0,
        word: OUTCOMES[i].1.to_owned(),
        line: false,
    };
    Plot {
        kind: "requests".to_owned(),
        title: "Requests / s by outcome".to_owned(),
        keys: (0..4).filter(seen).map(key).collect(),
        up,
        height: HEIGHT,
        tick: |v| short(v, 1),
        says: outcomes_words(arm),
        drawn,
        limits,
    }
}

fn outcomes_words(arm: &ArmData) -> String {
    let sum = |i: usize| arm.seconds.iter().map(|s| s.outcomes[i]).sum::<f64>();
    let most = |i: usize| {
        arm.seconds
            .iter()
            .map(|s| s.outcomes[i])
            .fold(0.0, f64::max)
    };
    format!(
        "Requests a second in arm {}: {} ok, {} degraded, {} refused, {} failed a repeat; at most {} failed in one second",
        arm.name,
        words::count(sum(0)),
        words::count(sum(1)),
        words::count(sum(2)),
        words::count(sum(3)),
        words::count(most(3)),
    )
}

/// One outcome's area on top of those below it, as steps.
fn layer(arm: &ArmData, kept: &[usize], i: usize, up: &Up, time: Time) -> Path {
    let mut path = Path::default();
    let below = |s: &Second| s.outcomes[..i].iter().sum::<f64>();
    for run in runs(kept, |at| arm.seconds[at].outcomes[i] > 0.0) {
        let ends = |k: usize| kept.get(k + 1).map_or(time.to, |next| *next as f64);
        path.move_to(
            kept[run.start] as f64,
            up.y(below(&arm.seconds[kept[run.start]])),
        );
        for k in run.clone() {
            let s = &arm.seconds[kept[k]];
            path.up_to(up.y(below(s) + s.outcomes[i]));
            path.across(ends(k));
        }
        for k in run.rev() {
            path.up_to(up.y(below(&arm.seconds[kept[k]])));
            path.across(kept[k] as f64);
        }
        path.close();
    }
    path
}

/// The stretches of `kept` in which something holds.
fn runs(kept: &[usize], holds: impl Fn(usize) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for k in (0..kept.len()).filter(|k| holds(kept[*k])) {
        match runs.last_mut() {
            Some(run) if run.end == k => run.end += 1,
            _ => runs.push(k..k + 1),
        }
    }
    runs
}

pub(super) fn link(data: &Data, arm: &ArmData, link: usize) -> Plot {
    let name = &data.links[link];
    let up = Up::linear(
        LINK_HEIGHT,
        data.most(|s| s.links[link][0].max(s.links[link][1])),
    );
    let steps = |figure: usize| {
        let value = |i: usize| arm.seconds[i].links[link][figure];
        let kept = keep_extremes(arm.seconds.len(), ROOM, value);
        stepped(&kept, &up, data.time, value)
    };
    let failed = |i: usize| arm.seconds[i].links[link][2];
    let kept = keep_extremes(arm.seconds.len(), ROOM, failed);
    let drawn: Markup = [
        area(&kept, &up, data.time, failed).draw("attempts-failed"),
        steps(1).draw("attempts"),
        steps(0).draw("calls"),
    ]
    .into_iter()
    .collect();
    let key = |class, word: &str, line| Key {
        class,
        word: word.to_owned(),
        line,
    };
    let total = |figure: usize| {
        arm.seconds
            .iter()
            .map(|s| s.links[link][figure])
            .sum::<f64>()
    };
    Plot {
        kind: format!("link-{link}"),
        title: format!("{} / s", words::link(name)),
        keys: vec![
            key("calls", "calls wanted", true),
            key("attempts", "attempts made", true),
            key("attempts-failed", "failed", false),
        ],
        up,
        height: LINK_HEIGHT,
        tick: |v| short(v, 1),
        says: format!(
            "Calls over {name} in arm {}: {} wanted, {} attempts made, {} of them failed, a repeat",
            arm.name,
            words::count(total(0)),
            words::count(total(1)),
            words::count(total(2)),
        ),
        drawn,
        limits: Vec::new(),
    }
}

fn stepped(kept: &[usize], up: &Up, time: Time, value: impl Fn(usize) -> f64) -> Path {
    let mut path = Path::default();
    for (k, at) in kept.iter().enumerate() {
        let y = up.y(value(*at));
        if k == 0 {
            path.move_to(*at as f64, y);
        } else {
            path.up_to(y);
        }
        path.across(kept.get(k + 1).map_or(time.to, |next| *next as f64));
    }
    path
}

fn area(kept: &[usize], up: &Up, time: Time, value: impl Fn(usize) -> f64) -> Path {
    let mut path = Path::default();
    for run in runs(kept, |at| value(at) > 0.0) {
        path.move_to(kept[run.start] as f64, up.y(0.0));
        let mut end = 0.0;
        for k in run {
            path.up_to(up.y(value(kept[k])));
            end = kept.get(k + 1).map_or(time.to, |next| *next as f64);
            path.across(end);
        }
        path.up_to(up.y(0.0));
        path.close();
        debug_assert!(end > 0.0);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_what_holds_without_a_gap() {
        let kept = [0, 1, 2, 5, 6];
        assert_eq!(runs(&kept, |at| at != 2), [0..2, 3..5]);
        assert!(runs(&kept, |_| false).is_empty());
    }
}
