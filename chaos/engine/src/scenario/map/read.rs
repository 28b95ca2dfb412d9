//! Reading `[map]`.

use std::ops::Range;
use std::time::Duration;

use resilience::server::ServerSpec;
use resilience::{Policy, ServerPolicy, SlotSpec};

use super::{LOOK, Look, Map, Model, ModelArm, poisson};
use crate::diagnostics::Collector;
use crate::scenario::read::{At, Table, duration, number};
use crate::scenario::{
    Action, Arm, Capacity, Condition, Dist, Effect, Fault, RequestFault, Schedule, known,
};

/// The most values along one side: more would take a day.
const MAX_VALUES: usize = 8;

/// The longest trigger, as in the simulator.
const LONGEST: Duration = Duration::from_secs(60);

/// The highest rate, as in the simulator.
const FASTEST: f64 = 10_000.0;

/// What the section can name.
pub(in crate::scenario) struct Known<'a> {
    pub arms: &'a [Arm],
    /// Names of faults and conditions, those with a mistake elsewhere too, which need no second
    /// telling.
    pub faults: &'a [(String, String)],
    pub conditions: &'a [(String, String)],
    pub schedule: &'a Schedule,
    /// Whether every stream could be read.
    pub streams_sound: bool,
}

pub(in crate::scenario) fn read(
    c: &mut Collector<'_>,
    mut t: Table<'_, '_>,
    known: &Known<'_>,
) -> Option<Map> {
    let because = t.need_text(c, "because");
    let fault = t.need_text(c, "fault");
    let capacity = t.need_text(c, "capacity");
    let triggers = triggers(c, &mut t);
    let rates = rates(c, &mut t);
    let arms = wanted_arms(c, &mut t, known.arms);
    let full = look(c, &mut t, None);
    let quick = t.table(c, "quick");
    let quick = quick.and_then(|mut q| {
        let quick = look(c, &mut q, full);
        q.finish(c);
        quick
    });
    let span = t.span();
    t.finish(c);
    let poisson = one_stream(c, span, known);
    let cut = cut(c, fault.as_ref(), capacity.as_ref(), known);
    let (cut, arms) = (cut?, arms?);
    let models = models(c, &arms, &cut.link)?;
    let full = full?;
    Some(Map {
        because: because?.value,
        fault: fault?.value,
        triggers: triggers?,
        rates: rates?,
        arms: models.iter().map(|arm| arm.name.clone()).collect(),
        full,
        quick: quick.unwrap_or(full),
        model: Model {
            link: cut.link,
            at_once: cut.usual.at_once,
            left: cut.left,
            service_time: cut.service_time,
            queue: cut.usual.queue,
            poisson: poisson?,
            arms: models,
        },
    })
}

/// `before`, `settle` and `watch`, each needed where there is none to take instead.
fn look(c: &mut Collector<'_>, t: &mut Table<'_, '_>, usual: Option<Look>) -> Option<Look> {
    let mut one = |key, usual: Option<Duration>| {
        let found = match usual {
            Some(_) => t.duration(c, key),
            None => t.need_duration(c, key),
        };
        // A whole second: what comes before the trigger, and what is looked at, is counted.
        if let Some(short) = found.as_ref().filter(|d| d.value < Duration::from_secs(1)) {
            c.error(short.span.clone(), format!("`{key}` must be at least 1s"));
        }
        found.map(|d| d.value).or(usual)
    };
    let before = one("before", usual.map(|look| look.before));
    let settle = one("settle", usual.map(|look| look.settle));
    let watch = one("watch", usual.map(|look| look.watch));
    Some(Look {
        before: before?,
        settle: settle?,
        watch: watch?,
    })
}

fn triggers(c: &mut Collector<'_>, t: &mut Table<'_, '_>) -> Option<Vec<Duration>> {
    let items = side(c, t, "triggers")?;
    let read = items.iter().map(|item| {
        let value = duration(c, item)?;
        if value.is_zero() || value > LONGEST {
            c.error(item.span(), "a trigger is above zero and at most 60s");
        }
        Some(At {
            value,
            span: item.span(),
        })
    });
    let read: Vec<_> = read.collect();
    ascending(c, "triggers", read.into_iter().collect::<Option<Vec<_>>>()?)
}

fn rates(c: &mut Collector<'_>, t: &mut Table<'_, '_>) -> Option<Vec<f64>> {
    let items = side(c, t, "rates")?;
    let read = items.iter().map(|item| {
        let value = number(item.get_ref()).filter(|n| *n > 0.0 && *n <= FASTEST);
        if value.is_none() {
            let message = format!("a rate is a number above zero, at most {FASTEST}");
            c.error(item.span(), message);
        }
        Some(At {
            value: value?,
            span: item.span(),
        })
    });
    let read: Vec<_> = read.collect();
    ascending(c, "rates", read.into_iter().collect::<Option<Vec<_>>>()?)
}

/// The values along one side of the map.
fn side<'a, 'i>(
    c: &mut Collector<'_>,
    t: &mut Table<'a, 'i>,
    key: &'static str,
) -> Option<Vec<&'a toml::Spanned<toml::de::DeValue<'i>>>> {
    if !t.has(key) {
        t.missing(c, key);
    }
    let items = t.array(c, key);
    if let Some(beyond) = items.get(MAX_VALUES) {
        let message = format!("a map has at most {MAX_VALUES} `{key}`");
        c.error(beyond.span(), message);
    }
    (!items.is_empty()).then_some(items)
}

fn ascending<T: PartialOrd + Copy>(
    c: &mut Collector<'_>,
    key: &str,
    values: Vec<At<T>>,
) -> Option<Vec<T>> {
    let wrong = values
        .windows(2)
        .find(|pair| pair[1].value <= pair[0].value);
    if let Some(pair) = wrong {
        let message = format!("`{key}` must rise: each value once, the smallest first");
        c.error(pair[1].span.clone(), message);
        return None;
    }
    Some(values.into_iter().map(|v| v.value).collect())
}

/// The arms by name, each with where it is named.
fn wanted_arms<'k>(
    c: &mut Collector<'_>,
    t: &mut Table<'_, '_>,
    arms: &'k [Arm],
) -> Option<Vec<At<&'k Arm>>> {
    if !t.has("arms") {
        t.missing(c, "arms");
    }
    let mut found: Vec<At<&Arm>> = Vec::new();
    for name in t.texts(c, "arms") {
        match arms.iter().find(|arm| arm.name == name.value) {
            Some(arm) if found.iter().any(|f| f.value.name == arm.name) => {
                c.error(name.span, format!("`{}` is there already", arm.name));
            }
            Some(value) => found.push(At {
                value,
                span: name.span,
            }),
            None => {
                let known = arms.iter().map(|arm| arm.name.as_str());
                c.unknown(name.span, "arm", &name.value, known);
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

/// Whether the only stream is a Poisson process.
fn one_stream(c: &mut Collector<'_>, span: Range<usize>, known: &Known<'_>) -> Option<bool> {
    let schedule = known.schedule;
    if let Some(window) = schedule.windows.iter().find(|w| w.name == LOOK) {
        let message = format!(
            "[map] looks at a window that is called `{}`: name yours otherwise",
            window.name
        );
        c.error(span.clone(), message);
    }
    if !known.streams_sound {
        return None;
    }
    match schedule.streams.as_slice() {
        [one] => {
            let poisson = poisson(one);
            if poisson.is_none() {
                c.error(
                    span,
                    "[map] varies a rate, and the stream has `customers`: it needs one with `rate`",
                );
            }
            poisson
        }
        _ => {
            c.error(
                span,
                "[map] needs a load of one stream: the simulator's callers are all alike",
            );
            None
        }
    }
}

/// The trigger: a part of the capacity is gone.
struct Cut {
    link: String,
    usual: Capacity,
    left: u32,
    service_time: Duration,
}

fn cut(
    c: &mut Collector<'_>,
    fault: Option<&At<String>>,
    condition: Option<&At<String>>,
    known: &Known<'_>,
) -> Option<Cut> {
    let Schedule {
        faults, conditions, ..
    } = known.schedule;
    let trigger = fault.and_then(|name| named(c, "fault", name, faults, |f| &f.name, known.faults));
    let usual = condition.and_then(|name| {
        named(
            c,
            "condition",
            name,
            conditions,
            |f| &f.name,
            known.conditions,
        )
    });
    let (fault, condition, trigger, usual) = (fault?, condition?, trigger?, usual?);
    let (whole, service_time) = whole(c, condition, usual)?;
    if trigger.again.is_some() {
        let message = format!(
            "`{}` comes again and again: the trigger of a map comes once",
            fault.value
        );
        c.error(fault.span.clone(), message);
        return None;
    }
    let Some(left) = left(trigger, usual, whole) else {
        let message = format!(
            "`{}` must be the capacity of `{}` with a smaller `at_once`, all else equal: the simulator knows no other trigger",
            fault.value, condition.value
        );
        c.error(fault.span.clone(), message);
        return None;
    };
    Some(Cut {
        link: usual.link.clone(),
        usual: whole,
        left,
        service_time,
    })
}

/// The one of that name; unknown ones are told, but for those with a mistake that has been told.
fn named<'k, T>(
    c: &mut Collector<'_>,
    what: &str,
    name: &At<String>,
    all: &'k [T],
    of: fn(&T) -> &String,
    told: &[(String, String)],
) -> Option<&'k T> {
    let found = all.iter().find(|one| *of(one) == name.value);
    if found.is_none() && told.iter().all(|(known, _)| *known != name.value) {
        let known = all.iter().map(|one| of(one).as_str());
        c.unknown(name.span.clone(), what, &name.value, known);
    }
    found
}

/// The usual capacity, and its service time.
fn whole(
    c: &mut Collector<'_>,
    name: &At<String>,
    usual: &Condition,
) -> Option<(Capacity, Duration)> {
    let mut refused = |why: &str| {
        c.error(name.span.clone(), format!("`{}` {why}", name.value));
        None
    };
    let Some((_, whole)) = capacity(&usual.action) else {
        return refused("is no `capacity`");
    };
    let Dist::Constant(service_time) = whole.service_time else {
        return refused("must have a constant service time: the simulator draws none here");
    };
    if !known::is_slot(&usual.link) {
        return refused(
            "is on a link whose callers have no policy slot, so there is nothing to compare",
        );
    }
    Some((whole, service_time))
}

/// How many at once the trigger leaves, if it is the usual capacity but for that, on the same link
/// and to the same requests.
fn left(trigger: &Fault, usual: &Condition, whole: Capacity) -> Option<u32> {
    let (to, less) = capacity(&trigger.action)?;
    let as_usual = Capacity {
        at_once: whole.at_once,
        ..less
    };
    let to_all = RequestFault {
        effect: Effect::Capacity(as_usual),
        ..to.clone()
    };
    let same = Action::Request(to_all) == usual.action && trigger.link == usual.link;
    (same && less.at_once < whole.at_once).then_some(less.at_once)
}

fn capacity(action: &Action) -> Option<(&RequestFault, Capacity)> {
    match action {
        Action::Request(fault) => match fault.effect {
            Effect::Capacity(capacity) => Some((fault, capacity)),
            _ => None,
        },
        _ => None,
    }
}

/// The arms' policies; `None` when the simulator can't follow one of them.
fn models(c: &mut Collector<'_>, arms: &[At<&Arm>], link: &str) -> Option<Vec<ModelArm>> {
    let models: Vec<_> = arms.iter().map(|arm| model(c, arm, link)).collect();
    models.into_iter().collect()
}

fn model(c: &mut Collector<'_>, arm: &At<&Arm>, link: &str) -> Option<ModelArm> {
    let name = &arm.value.name;
    let (policy, door) = (caller(arm.value, link)?, door(arm.value, link)?);
    let [(_, policy)] = policy.as_slice() else {
        c.error(
            arm.span.clone(),
            format!("`{name}` splits its calls among policies, which the simulator doesn't"),
        );
        return None;
    };
    if policy.propagate_deadline {
        let message = format!(
            "`{name}` tells the server its deadline, at which work is stopped; the simulator's server works on: set propagate_deadline = false"
        );
        c.error(arm.span.clone(), message);
        return None;
    }
    Some(ModelArm {
        name: name.clone(),
        policy: policy.clone(),
        door,
    })
}

/// What can't be resolved has been told where the arm stands.
fn caller(arm: &Arm, link: &str) -> Option<Vec<(u32, Policy)>> {
    let spec = arm.specs.get(link)?.clone();
    SlotSpec::try_from(spec).ok()?.resolve().ok()
}

fn door(arm: &Arm, link: &str) -> Option<ServerPolicy> {
    let slot = format!("{}.server", known::callee(link));
    let spec = arm.specs.get(&slot)?.clone();
    ServerSpec::try_from(spec).ok()?.resolve().ok()
}
