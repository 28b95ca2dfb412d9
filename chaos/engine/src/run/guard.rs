//! What may be broken, and how hard it may be loaded.

use std::time::Duration;

use loadtest::{Plan as LoadPlan, Stream};
use reqwest::Url;

use super::Options;
use super::plan::Plan;
use crate::error::EngineError;
use crate::target::Target;

/// Whether this run may be made on this target: on this machine alone, unless somebody
/// has said that he may break it, and no faster than the target's ceiling.
pub(super) fn allowed(target: &Target, plan: &Plan, options: &Options) -> Result<(), EngineError> {
    let addresses = std::iter::once(&target.entry)
        .chain(&target.proxy_api)
        .chain(target.control.values());
    for url in addresses {
        if !options.i_may_break_this && !is_loopback(url) {
            return Err(EngineError::NotAllowed(format!(
                "{url} is not on this machine, and a run breaks things: if you may break what is there, say --i-may-break-this"
            )));
        }
    }
    let Some(load) = &target.load else {
        return Ok(());
    };
    let streams = &plan.schedule.streams;
    let mut ops = streams.iter().flat_map(|stream| stream.mix.ops());
    if let Some(op) = ops.find(|op| !load.requests.contains_key(op)) {
        return Err(EngineError::NotAllowed(format!(
            "the target has no request for `{op}`: describe it under [load.requests.{op}] in the target file"
        )));
    }
    below(streams, load.max_rate)
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

fn below(streams: &[Stream], ceiling: f64) -> Result<(), EngineError> {
    let open = LoadPlan {
        streams: streams.to_vec(),
        warm_up: Duration::ZERO,
        duration: Duration::MAX,
        seed: 0,
    }
    .peak_rate();
    let closed: f64 = streams.iter().map(closed_peak).sum();
    if open + closed <= ceiling {
        return Ok(());
    }
    let rate = if closed.is_finite() {
        format!("up to {:.0} requests a second", open + closed)
    } else {
        "as many requests as the target answers (customers without `think`)".to_owned()
    };
    Err(EngineError::NotAllowed(format!(
        "the load makes {rate}, and the target's ceiling is {ceiling}: lower the rates, or raise `load.max_rate` in the target file"
    )))
}

/// The most that customers who wait for their answers can ask for.
fn closed_peak(stream: &Stream) -> f64 {
    match stream.source {
        loadtest::Source::Closed { customers, think } => customers as f64 / think.as_secs_f64(),
        loadtest::Source::Open { .. } => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use loadtest::{Arrivals, Mix, Op};

    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        let of = |text: &str| is_loopback(&text.parse().unwrap());
        for here in [
            "http://127.0.0.1:80/",
            "http://[::1]:80/",
            "http://localhost/",
            "http://127.8.9.1/",
        ] {
            assert!(of(here), "{here}");
        }
        for away in [
            "http://10.0.0.1/",
            "http://example.com/",
            "http://localhost.example.com/",
            "http://[2001:db8::1]/",
        ] {
            assert!(!of(away), "{away}");
        }
    }

    #[test]
    fn the_ceiling_is_over_all_streams() {
        let browse = || Mix::only(Op::Browse);
        let open = Stream::open(browse(), 150.0, Arrivals::Constant);
        assert!(below(std::slice::from_ref(&open), 200.0).is_ok());
        let closed = Stream::closed(browse(), 100, Duration::from_secs(1));
        let why = below(&[open.clone(), closed], 200.0)
            .unwrap_err()
            .to_string();
        assert!(why.contains("up to 250 requests a second"), "{why}");
        let greedy = Stream::closed(browse(), 1, Duration::ZERO);
        let why = below(&[open, greedy], 200.0).unwrap_err().to_string();
        assert!(why.contains("without `think`"), "{why}");
    }
}
