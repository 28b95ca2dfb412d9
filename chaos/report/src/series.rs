//! The numbers behind the curves as JSON, for the script's cursor and data table.

use chaos_engine::runlog::BreakerState;
use serde_json::{Value, json};

use crate::charts::{LINES, OUTCOMES, breaker_word};
use crate::data::{ArmData, Data, Second, Strip};
use crate::scale::keep_extremes;

/// Seconds that a report of an hour keeps: those with the extremes.
const ROOM: usize = 900;

pub(crate) fn json(data: &Data) -> String {
    let arms: Vec<Value> = data.arms.iter().map(|arm| arm_json(data, arm)).collect();
    json!({
        "from": data.time.from,
        "to": data.time.to,
        "links": data.links,
        "outcomes": OUTCOMES.map(|o| o.1),
        "quantiles": LINES.map(|l| l.1),
        "arms": arms,
    })
    .to_string()
}

fn arm_json(data: &Data, arm: &ArmData) -> Value {
    let unlucky = |i: usize| arm.seconds[i].outcomes[3] + arm.seconds[i].outcomes[2];
    let kept = keep_extremes(arm.seconds.len(), ROOM, unlucky);
    let seconds: Vec<&Second> = kept.iter().map(|i| &arm.seconds[*i]).collect();
    let column = |of: &dyn Fn(&Second) -> f64| -> Vec<Value> {
        seconds.iter().map(|s| number(of(s))).collect()
    };
    let quantile = |i: usize| -> Vec<Value> {
        seconds
            .iter()
            .map(|s| s.quantiles().map_or(Value::Null, |q| number(q[i] * 1e3)))
            .collect()
    };
    let links = (0..data.links.len()).map(|l| {
        let figures = [0, 1, 2].map(|f| column(&|s: &Second| s.links[l][f]));
        json!(figures)
    });
    let bands: Vec<Value> = arm
        .bands
        .iter()
        .map(|b| json!([b.fault, number(b.from), number(b.to)]))
        .collect();
    let outcomes = [0, 1, 2, 3].map(|i| column(&|s: &Second| s.outcomes[i]));
    let quantiles = [0, 1, 2, 3].map(quantile);
    json!({
        "name": arm.name,
        "at": seconds.iter().map(|s| s.at).collect::<Vec<_>>(),
        "outcomes": outcomes,
        "quantiles_ms": quantiles,
        "links": links.collect::<Vec<_>>(),
        "bands": bands,
        "breakers": arm.strips.iter().map(strip).collect::<Vec<_>>(),
    })
}

fn strip(strip: &Strip) -> Value {
    let spans: Vec<Value> = strip
        .spans
        .iter()
        .filter(|s| s.state != BreakerState::Closed)
        .map(|s| json!([breaker_word(s.state), number(s.from), number(s.to)]))
        .collect();
    json!({"link": strip.link, "repeat": strip.repeat, "spans": spans})
}

/// Two digits after the point: nobody reads more off a curve.
fn number(x: f64) -> Value {
    let rounded = (x * 100.0).round() / 100.0;
    if rounded.fract() == 0.0 {
        return json!(rounded as i64);
    }
    json!(rounded)
}
