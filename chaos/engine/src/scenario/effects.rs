//! Reading the actions of the services' fault layer. The shape is the wire's; what
//! the services would refuse is refused here, with its place.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::known::{self, CALLERS, GRPC_CODES, OF_CACHES, ROUTES};
use super::read::{At, Table, article, duration, number};
use super::request::{Capacity, Dist, Effect, Fail, Of, RequestFault, Share, Status, Timed};
use crate::diagnostics::Collector;

/// The effects there are.
pub(super) const NAMES: [&str; 6] = ["fail", "delay", "work", "hang", "capacity", "lose_reply"];

/// The effects that the client of a cache or database can have.
const OF_STORES: [&str; 4] = ["fail", "delay", "hang", "capacity"];

/// The most that may wait for a capacity, if not said.
const QUEUE: u32 = 10_000;

/// The longest that a fault takes.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether a table is an action of the fault layer.
pub(super) fn any(table: &DeTable<'_>) -> bool {
    NAMES.iter().any(|name| table.get(*name).is_some())
}

pub(super) fn read(
    c: &mut Collector<'_>,
    mut t: Table<'_, '_>,
    link: Option<&str>,
) -> Option<RequestFault> {
    let methods = t.texts(c, "methods");
    methods
        .iter()
        .for_each(|method| method_known(c, method, link));
    let callers = t.texts(c, "callers");
    callers
        .iter()
        .for_each(|caller| caller_known(c, caller, link));
    let users = users(c, &mut t);
    let effect = effect(c, &mut t, link);
    t.finish(c);
    let values = |of: Vec<At<String>>| of.into_iter().map(|text| text.value).collect();
    Some(RequestFault {
        methods: values(methods),
        callers: values(callers),
        users,
        effect: effect?,
    })
}

fn effect(c: &mut Collector<'_>, t: &mut Table<'_, '_>, link: Option<&str>) -> Option<Effect> {
    let mut found = NAMES.into_iter().filter(|name| t.has(name));
    let name = found.next()?;
    if let Some(second) = found.next() {
        let span = t.raw(second).map_or_else(|| t.span(), Spanned::span);
        // Asked for, so that it isn't called unknown on top.
        for name in NAMES {
            t.raw(name);
        }
        c.error(
            span,
            format!("one action is enough: `{name}` or `{second}`"),
        );
        return None;
    }
    if link.is_some_and(known::is_store) && !OF_STORES.contains(&name) {
        let message = format!(
            "a cache or database can't `{name}`; it can fail, delay, hang and have a capacity"
        );
        c.error(t.span(), message);
    }
    let mut inner = t.table(c, name)?;
    let effect = match name {
        "fail" => fail(c, &mut inner, link).map(Effect::Fail),
        "delay" => timed(c, &mut inner).map(Effect::Delay),
        "work" => timed(c, &mut inner).map(Effect::Work),
        "hang" => Some(Effect::Hang(share(c, &mut inner))),
        "lose_reply" => Some(Effect::LoseReply(share(c, &mut inner))),
        _ => capacity(c, &mut inner).map(Effect::Capacity),
    };
    inner.finish(c);
    effect
}

/// Without a share it is all of them.
fn share(c: &mut Collector<'_>, t: &mut Table<'_, '_>) -> Share {
    Share {
        share: t.share(c, "share").map_or(1.0, |s| s.value),
    }
}

fn timed(c: &mut Collector<'_>, t: &mut Table<'_, '_>) -> Option<Timed> {
    let share = share(c, t).share;
    let time = dist(c, t, "time")?;
    Some(Timed { share, time })
}

fn capacity(c: &mut Collector<'_>, t: &mut Table<'_, '_>) -> Option<Capacity> {
    let at_once = t.need_count(c, "at_once");
    let service_time = dist(c, t, "service_time");
    let queue = t.count(c, "queue").map_or(QUEUE, |queue| queue.value);
    Some(Capacity {
        at_once: at_once?.value,
        service_time: service_time?,
        queue,
    })
}

fn fail(c: &mut Collector<'_>, t: &mut Table<'_, '_>, link: Option<&str>) -> Option<Fail> {
    let first = t.count(c, "first");
    let of = t.text(c, "of");
    let share = t.share(c, "share");
    let status = status(c, t, link);
    if let (Some(_), Some(share)) = (&first, &share) {
        c.error(
            share.span.clone(),
            "either a `share` of the requests or the `first` of them, not both",
        );
        return None;
    }
    let Some(first) = first else {
        if let Some(of) = of {
            c.error(of.span, "`of` goes with `first`: the first 2 of each call");
        }
        let share = share.map_or(1.0, |s| s.value);
        return Some(Fail::Share {
            share,
            status: status?,
        });
    };
    let of = match of {
        None => Of::Call,
        Some(of) if of.value == "call" => Of::Call,
        Some(of) if of.value == "all" => Of::All,
        Some(of) => {
            c.unknown(of.span, "value of `of`:", &of.value, ["call", "all"]);
            return None;
        }
    };
    Some(Fail::First {
        first: first.value,
        of,
        status: status?,
    })
}

fn status(c: &mut Collector<'_>, t: &mut Table<'_, '_>, link: Option<&str>) -> Option<Status> {
    let Some(value) = t.raw("status") else {
        // A store's client has errors of its own kind.
        if link.is_some_and(known::is_store) {
            return Some(Status::Grpc("UNAVAILABLE".to_owned()));
        }
        t.missing(c, "status");
        return None;
    };
    match value.get_ref() {
        DeValue::String(code) if GRPC_CODES.contains(&&**code) => {
            Some(Status::Grpc(code.to_string()))
        }
        DeValue::String(code) => {
            c.unknown(value.span(), "gRPC status", code, GRPC_CODES);
            None
        }
        other => {
            let status = number(other).filter(|n| (400.0..600.0).contains(n) && n.fract() == 0.0);
            if status.is_none() {
                let message = "`status` is a gRPC code such as \"UNAVAILABLE\" or an HTTP status from 400 to 599";
                c.error(value.span(), message);
            }
            status.map(|n| Status::Http(n as u16))
        }
    }
}

fn dist(c: &mut Collector<'_>, t: &mut Table<'_, '_>, key: &'static str) -> Option<Dist> {
    let Some(value) = t.raw(key) else {
        t.missing(c, key);
        return None;
    };
    let DeValue::Table(table) = value.get_ref() else {
        let time = bounded(c, value)?;
        if time.is_zero() {
            c.error(value.span(), format!("`{key}` must be above zero"));
        }
        return Some(Dist::Constant(time));
    };
    let t = Table::new(table, value.span(), &format!("`{key}`"));
    let entries = t.entries();
    let [(name, numbers)] = entries.as_slice() else {
        let message = format!(
            "`{key}` is a duration or one of {{ uniform = [\"1ms\", \"2ms\"] }}, {{ normal = [mean, deviation] }} and {{ pareto = [scale, shape] }}"
        );
        c.error(value.span(), message);
        return None;
    };
    drawn(c, name, numbers)
}

/// A time that the fault layer takes.
fn bounded(c: &mut Collector<'_>, value: &Spanned<DeValue<'_>>) -> Option<Duration> {
    let time = duration(c, value)?;
    if time > LONGEST {
        c.error(value.span(), "the fault layer takes at most 60s");
    }
    Some(time)
}

fn drawn(c: &mut Collector<'_>, name: &At<String>, numbers: &Spanned<DeValue<'_>>) -> Option<Dist> {
    if !["uniform", "normal", "pareto"].contains(&&*name.value) {
        let known = ["uniform", "normal", "pareto"];
        c.unknown(name.span.clone(), "distribution", &name.value, known);
        return None;
    }
    let array = numbers.get_ref().as_array().map(Vec::from_iter);
    let Some([first, second]) = array.as_deref() else {
        let message = format!("`{}` takes two numbers: [first, second]", name.value);
        c.error(numbers.span(), message);
        return None;
    };
    let first_time = bounded(c, first)?;
    if name.value == "pareto" {
        return pareto(c, first_time, first, second);
    }
    let second_time = bounded(c, second)?;
    if name.value == "normal" {
        return Some(Dist::Normal(first_time, second_time));
    }
    if second_time <= first_time {
        c.error(
            second.span(),
            "the second bound of `uniform` must be above the first",
        );
    }
    Some(Dist::Uniform(first_time, second_time))
}

fn pareto(
    c: &mut Collector<'_>,
    scale: Duration,
    first: &Spanned<DeValue<'_>>,
    second: &Spanned<DeValue<'_>>,
) -> Option<Dist> {
    if scale.is_zero() {
        c.error(first.span(), "the scale of `pareto` must be above zero");
    }
    let Some(shape) = number(second.get_ref()).filter(|n| *n > 0.0 && n.is_finite()) else {
        let found = article(second.get_ref().type_str());
        let message = format!("the shape of `pareto` is a number above zero, not {found}");
        c.error(second.span(), message);
        return None;
    };
    Some(Dist::Pareto(scale, shape))
}

fn users(c: &mut Collector<'_>, t: &mut Table<'_, '_>) -> Vec<i64> {
    let mut users = Vec::new();
    for item in t.array(c, "users") {
        match number(item.get_ref()).filter(|n| n.fract() == 0.0 && *n > 0.0) {
            Some(id) => users.push(id as i64),
            None => c.error(
                item.span(),
                "`users` holds user ids: whole numbers above zero",
            ),
        }
    }
    users
}

fn method_known(c: &mut Collector<'_>, method: &At<String>, link: Option<&str>) {
    let Some(link) = link else { return };
    match known::callee(link) {
        "database" => return,
        "cache" => {
            if !OF_CACHES.contains(&&*method.value) {
                c.unknown(
                    method.span.clone(),
                    "method of a cache",
                    &method.value,
                    OF_CACHES,
                );
            }
            return;
        }
        _ => {}
    }
    let service = known::fault_layer(link);
    if method.value.contains(' ') {
        // The gateway has every service's.
        let of = |s: &str| s == service || service == "gateway";
        let routes = || {
            ROUTES
                .iter()
                .filter(|(s, _)| of(s))
                .map(|(_, route)| *route)
        };
        if !routes().any(|route| route == method.value) {
            c.unknown(method.span.clone(), "route", &method.value, routes());
        }
    } else if !known::methods(link).any(|known| known == method.value) {
        let what = "gRPC method (a REST route is written \"GET /path/\"):";
        c.unknown(
            method.span.clone(),
            what,
            &method.value,
            known::methods(link),
        );
    }
}

fn caller_known(c: &mut Collector<'_>, caller: &At<String>, link: Option<&str>) {
    let only = link
        .and_then(|l| l.split_once('-'))
        .map(|(caller, _)| caller);
    if !CALLERS.contains(&&*caller.value) {
        c.unknown(caller.span.clone(), "caller", &caller.value, CALLERS);
    } else if let Some(only) = only.filter(|only| *only != "*" && *only != caller.value) {
        let message = format!("only `{only}` calls over this link");
        c.error(caller.span.clone(), message);
    }
}
