//! What a fault does to the requests it is about.

use std::time::Duration;

use serde_json::Value;

use super::{
    dist::{Dist, some_time},
    draw::Draw,
    fields::{self, Fields, Read},
    status::Failure,
};

const ACTIONS: [&str; 6] = ["fail", "delay", "work", "hang", "capacity", "lose_reply"];
const QUEUE: u32 = 10_000;

/// One kind of fault with its figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    Fail { when: When, failure: Failure },
    Delay { share: f64, time: Dist },
    Work { share: f64, time: Dist },
    Hang { share: f64 },
    Capacity(Capacity),
    LoseReply { share: f64 },
}

/// Which requests fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    Share(f64),
    /// Attempts up to this number of each logical call.
    FirstOfCall(u32),
    /// So many requests in all.
    FirstOfAll(u32),
}

/// So many servers behind one first-come-first-served queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Capacity {
    pub(super) at_once: u32,
    pub(super) service_time: Dist,
    pub(super) queue: u32,
}

/// What becomes of one request under one fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Deed {
    Fail(Failure),
    Delay(Duration),
    Work(Duration),
    Hang,
    Serve(Duration),
    LoseReply,
}

impl Action {
    pub(super) fn read(path: &str, value: &Value) -> Read<Self> {
        let fields = Fields::new(path, value, &ACTIONS)?;
        let read = [
            fields.optional("fail", fail)?,
            fields.optional("delay", delay)?,
            fields.optional("work", work)?,
            fields.optional("hang", hang)?,
            fields.optional("capacity", capacity)?,
            fields.optional("lose_reply", lose_reply)?,
        ];
        match read.into_iter().flatten().collect::<Vec<_>>()[..] {
            [one] => Ok(one),
            _ => Err(format!("`{path}` must be one of {}", ACTIONS.join(", "))),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Fail { .. } => "fail",
            Self::Delay { .. } => "delay",
            Self::Work { .. } => "work",
            Self::Hang { .. } => "hang",
            Self::Capacity(_) => "capacity",
            Self::LoseReply { .. } => "lose_reply",
        }
    }

    /// A cache or database client has no reply to lose, and its work can't be told from a delay.
    pub(super) fn suits_a_client(&self) -> bool {
        !matches!(self, Self::Work { .. } | Self::LoseReply { .. })
    }

    /// What the draw decides for that attempt. Only [`When::FirstOfAll`] looks at anything else:
    /// `earlier`, how many it has hit so far.
    pub(super) fn decide(
        &self,
        draw: Draw,
        attempt: u32,
        earlier: impl FnOnce() -> u64,
    ) -> Option<Deed> {
        let (hit, deed) = match *self {
            Self::Fail { when, failure } => {
                let hit = match when {
                    When::Share(share) => draw.acts(share),
                    When::FirstOfCall(first) => attempt <= first,
                    When::FirstOfAll(first) => earlier() < u64::from(first),
                };
                (hit, Deed::Fail(failure))
            }
            Self::Delay { share, time } => (draw.acts(share), Deed::Delay(time.draw(draw))),
            Self::Work { share, time } => (draw.acts(share), Deed::Work(time.draw(draw))),
            Self::Hang { share } => (draw.acts(share), Deed::Hang),
            Self::Capacity(capacity) => (true, Deed::Serve(capacity.service_time.draw(draw))),
            Self::LoseReply { share } => (draw.acts(share), Deed::LoseReply),
        };
        hit.then_some(deed)
    }
}

fn fail(path: &str, value: &Value) -> Read<Action> {
    let fields = Fields::new(path, value, &["share", "first", "of", "status"])?;
    let share = fields.optional("share", fields::share)?;
    let first = fields.optional("first", fields::count)?;
    let of_all = fields.optional("of", of_all)?;
    let when = match (share, first) {
        (Some(share), None) if of_all.is_none() => When::Share(share),
        (None, Some(first)) if of_all.unwrap_or(false) => When::FirstOfAll(first),
        (None, Some(first)) => When::FirstOfCall(first),
        (Some(_), None) => return Err(format!("`{path}.of` goes with `first`, not with `share`")),
        (Some(_), Some(_)) => return Err(format!("`{path}`: either `share` or `first`, not both")),
        (None, None) => return Err(format!("`{path}` needs `share` or `first`")),
    };
    let failure = fields.optional("status", Failure::read)?;
    Ok(Action::Fail {
        when,
        failure: failure.unwrap_or(Failure::UNAVAILABLE),
    })
}

fn of_all(path: &str, value: &Value) -> Read<bool> {
    match value.as_str() {
        Some("call") => Ok(false),
        Some("all") => Ok(true),
        _ => Err(format!("`{path}` must be \"call\" or \"all\", not {value}")),
    }
}

/// `{"share": 0.2, "time": …}`; without a share it is every request.
fn timed(path: &str, value: &Value) -> Read<(f64, Dist)> {
    let fields = Fields::new(path, value, &["share", "time"])?;
    let share = fields.optional("share", fields::share)?.unwrap_or(1.0);
    Ok((share, fields.required("time", some_time)?))
}

fn delay(path: &str, value: &Value) -> Read<Action> {
    timed(path, value).map(|(share, time)| Action::Delay { share, time })
}

fn work(path: &str, value: &Value) -> Read<Action> {
    timed(path, value).map(|(share, time)| Action::Work { share, time })
}

fn only_share(path: &str, value: &Value) -> Read<f64> {
    let fields = Fields::new(path, value, &["share"])?;
    Ok(fields.optional("share", fields::share)?.unwrap_or(1.0))
}

fn hang(path: &str, value: &Value) -> Read<Action> {
    only_share(path, value).map(|share| Action::Hang { share })
}

fn lose_reply(path: &str, value: &Value) -> Read<Action> {
    only_share(path, value).map(|share| Action::LoseReply { share })
}

fn capacity(path: &str, value: &Value) -> Read<Action> {
    let fields = Fields::new(path, value, &["at_once", "service_time", "queue"])?;
    Ok(Action::Capacity(Capacity {
        at_once: fields.required("at_once", servers)?,
        service_time: fields.required("service_time", some_time)?,
        queue: fields.optional("queue", fields::count)?.unwrap_or(QUEUE),
    }))
}

/// What can wait in this process is bounded, so more servers than that are never busy.
fn servers(path: &str, value: &Value) -> Read<u32> {
    let servers = fields::count(path, value)?;
    if servers > 1_000_000 {
        return Err(format!("`{path}` must be at most 1000000"));
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::draw::Of, *};

    fn read(value: Value) -> Read<Action> {
        Action::read("action", &value)
    }

    fn draw(request_id: &str, attempt: u32) -> Draw {
        Draw::new(Of {
            seed: 1,
            fault: "f",
            request_id,
            link: "a-b",
            method: "M",
            attempt,
        })
    }

    #[test]
    fn each_is_read_as_documented() {
        let second = Dist::Constant(Duration::from_secs(1));
        for (body, action) in [
            (
                json!({"delay": {"time": "1s"}}),
                Action::Delay {
                    share: 1.0,
                    time: second,
                },
            ),
            (
                json!({"work": {"share": 0.5, "time": "1s"}}),
                Action::Work {
                    share: 0.5,
                    time: second,
                },
            ),
            (json!({"hang": {}}), Action::Hang { share: 1.0 }),
            (
                json!({"lose_reply": {"share": 0.1}}),
                Action::LoseReply { share: 0.1 },
            ),
            (
                json!({"capacity": {"at_once": 3, "service_time": "1s"}}),
                Action::Capacity(Capacity {
                    at_once: 3,
                    service_time: second,
                    queue: 10_000,
                }),
            ),
            (
                json!({"fail": {"first": 2, "of": "all", "status": 503}}),
                Action::Fail {
                    when: When::FirstOfAll(2),
                    failure: Failure::UNAVAILABLE,
                },
            ),
        ] {
            assert_eq!(read(body.clone()), Ok(action), "{body}");
        }
    }

    #[test]
    fn the_first_attempts_of_each_call_fail_and_no_other() {
        let action = read(json!({"fail": {"first": 2, "of": "call"}})).unwrap();
        for id in ["a", "b"] {
            for attempt in 1..5 {
                let deed = action.decide(draw(id, attempt), attempt, || panic!("pure"));
                assert_eq!(deed.is_some(), attempt <= 2, "{id} {attempt}");
            }
        }
    }

    #[test]
    fn the_first_in_all_are_counted() {
        let action = read(json!({"fail": {"first": 2, "of": "all"}})).unwrap();
        let hit = (0..5).filter(|n| action.decide(draw("a", 1), 1, || *n).is_some());
        assert_eq!(hit.collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        for (wrong, told) in [
            (json!({}), "one of fail, delay"),
            (json!({"fail": {"share": 1}, "hang": {}}), "one of"),
            (json!({"fial": {}}), "did you mean `fail`"),
            (
                json!({"fail": {"share": 0, "status": 503}}),
                "`action.fail.share`",
            ),
            (json!({"fail": {"share": 1.01}}), "`action.fail.share`"),
            (
                json!({"fail": {"share": 0.5, "status": "UNAVAILABEL"}}),
                "did you mean `UNAVAILABLE`",
            ),
            (json!({"fail": {}}), "`share` or `first`"),
            (json!({"fail": {"share": 0.5, "first": 2}}), "not both"),
            (
                json!({"fail": {"share": 0.5, "of": "all"}}),
                "`action.fail.of`",
            ),
            (json!({"fail": {"first": 0}}), "`action.fail.first`"),
            (
                json!({"fail": {"first": 2, "of": "each"}}),
                "`action.fail.of`",
            ),
            (
                json!({"delay": {"share": 0.5}}),
                "`action.delay.time` is missing",
            ),
            (json!({"delay": {"tmie": "1s"}}), "did you mean `time`"),
            (json!({"work": {"time": "0s"}}), "`action.work.time`"),
            (json!({"hang": {"share": -0.5}}), "`action.hang.share`"),
            (
                json!({"capacity": {"at_once": 0, "service_time": "1s"}}),
                "`action.capacity.at_once`",
            ),
            (
                json!({"capacity": {"at_once": 1}}),
                "`action.capacity.service_time` is missing",
            ),
            (json!("hang"), "`action` must be an object"),
        ] {
            let error = read(wrong.clone()).unwrap_err();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }
}
