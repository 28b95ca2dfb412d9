//! *Down*, toxicity, several toxics at once, and that bytes survive.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::thread;

use conformance::{Running, Upstream, cases, connect, payload};

use super::{MS, assert_over, echo, echoed, round_trip};

cases!(
    down_refuses_and_kills: "*down*: live connections are closed, new ones refused, and up again it works",
    a_toxicity_of_zero_does_nothing: "`toxicity` 0: nothing is acted on",
    a_toxicity_of_one_half_acts_on_some: "`toxicity` 0.5: some connections are acted on and some are not",
    toxics_act_in_the_order_they_were_added: "toxics of one direction act one behind the other",
    a_noop_changes_nothing: "`noop`: changes nothing",
    bytes_survive_latency_and_jitter_both_ways: "no byte is lost or reordered under latency and jitter, both ways",
    bytes_survive_all_at_once: "nor under `latency`, `bandwidth`, `slicer` and `slow_close` together",
    bytes_survive_toxics_that_come_and_go: "nor while toxics come and go",
    what_was_sent_before_closing_arrives: "what was sent before the server closed arrives",
    a_dead_upstream_closes_the_client: "a client whose upstream is dead is closed",
    moving_the_upstream_moves_new_connections: "a new upstream takes new connections; the old ones are closed",
);

fn down_refuses_and_kills(running: &Running) {
    let address = echo(running);
    let mut live = connect(address);
    round_trip(&mut live, b"before").unwrap();
    running.enable("p", false);
    assert_over(&mut live);
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    running.enable("p", true);
    round_trip(&mut connect(address), b"after").unwrap();
}

fn a_toxicity_of_zero_does_nothing(running: &Running) {
    let address = echo(running);
    running.toxic("p", r#"{"type":"timeout","toxicity":0}"#);
    running.toxic(
        "p",
        r#"{"type":"latency","toxicity":0,"attributes":{"latency":20000}}"#,
    );
    for _ in 0..5 {
        round_trip(&mut connect(address), b"ping").unwrap();
    }
}

fn bytes_survive_latency_and_jitter_both_ways(running: &Running) {
    let address = echo(running);
    let toxic = |stream| {
        format!(
            r#"{{"type":"latency","stream":"{stream}","attributes":{{"latency":15,"jitter":10}}}}"#
        )
    };
    running.toxic("p", &toxic("upstream"));
    running.toxic("p", &toxic("downstream"));
    for seed in 0..3 {
        let sent = payload(seed, 2 * 1024 * 1024 + seed as usize);
        assert!(
            echoed(&connect(address), &sent) == sent,
            "bytes were lost or reordered"
        );
    }
}

fn bytes_survive_toxics_that_come_and_go(running: &Running) {
    let address = echo(running);
    let stream = connect(address);
    let sent = payload(9, 4 * 1024 * 1024);
    let seen = thread::scope(|scope| {
        let moving = scope.spawn(|| echoed(&stream, &sent));
        while !moving.is_finished() {
            running.toxic(
                "p",
                r#"{"type":"latency","attributes":{"latency":5,"jitter":3}}"#,
            );
            thread::sleep(10 * MS);
            running.remove_toxic("p", "latency_downstream");
        }
        moving.join().unwrap()
    });
    assert!(seen == sent, "bytes were lost or reordered");
}

fn what_was_sent_before_closing_arrives(running: &Running) {
    let sent = payload(3, 3 * 1024 * 1024);
    let address = running.proxy("p", Upstream::Send(sent.clone()).start());
    for latency in [false, true] {
        if latency {
            running.toxic("p", r#"{"type":"latency","attributes":{"latency":100}}"#);
        }
        let mut seen = Vec::new();
        connect(address).read_to_end(&mut seen).unwrap();
        assert!(seen == sent, "{} of {} bytes", seen.len(), sent.len());
    }
}

fn a_dead_upstream_closes_the_client(running: &Running) {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let address = running.proxy("p", nobody);
    assert_over(&mut connect(address));
}

fn moving_the_upstream_moves_new_connections(running: &Running) {
    let address = echo(running);
    let mut old = connect(address);
    round_trip(&mut old, b"ping").unwrap();
    let other = Upstream::Send(b"other".to_vec()).start();
    let body = format!(r#"{{"upstream":"{other}"}}"#);
    let moved = running
        .api
        .send("PATCH", "/proxies/p", &body, "conformance");
    assert_eq!((moved.status, &moved.json["enabled"]), (200, &true.into()));
    assert_over(&mut old);
    let mut seen = String::new();
    connect(address).read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "other");
}

fn a_toxicity_of_one_half_acts_on_some(running: &Running) {
    let address = echo(running);
    running.toxic("p", r#"{"type":"reset_peer","toxicity":0.5}"#);
    let cut_off = |_| round_trip(&mut connect(address), b"ping").is_err();
    let fates: Vec<_> = (0..40).map(cut_off).collect();
    // All alike has a chance of one in 2^39.
    assert!(fates.contains(&true) && fates.contains(&false), "{fates:?}");
}

fn toxics_act_in_the_order_they_were_added(running: &Running) {
    let address = echo(running);
    let add = |name, attributes| {
        let limit = format!(r#"{{"type":"latency","name":"{name}","attributes":{attributes}}}"#);
        running.toxic("p", &limit);
    };
    add("first", r#"{"latency":100}"#);
    running.toxic("p", r#"{"type":"limit_data","attributes":{"bytes":4}}"#);
    add("last", r#"{"latency":100}"#);
    let mut stream = connect(address);
    // The limit lies between two delays: its four bytes take both.
    assert!(round_trip(&mut stream, b"ping").unwrap() >= 200 * MS);
    assert_over(&mut stream);
}

fn a_noop_changes_nothing(running: &Running) {
    let address = echo(running);
    running.toxic("p", r#"{"type":"noop"}"#);
    let sent = payload(4, 256 * 1024);
    assert!(echoed(&connect(address), &sent) == sent);
}

fn bytes_survive_all_at_once(running: &Running) {
    let address = echo(running);
    for stream in ["upstream", "downstream"] {
        for (kind, attributes) in [
            ("latency", r#"{"latency":5,"jitter":5}"#),
            ("slicer", r#"{"average_size":900,"size_variation":500}"#),
            ("bandwidth", r#"{"rate":3000}"#),
            ("slow_close", r#"{"delay":50}"#),
        ] {
            running.toxic(
                "p",
                &format!(r#"{{"type":"{kind}","stream":"{stream}","attributes":{attributes}}}"#),
            );
        }
    }
    let sent = payload(6, 1024 * 1024 + 1);
    assert!(
        echoed(&connect(address), &sent) == sent,
        "bytes were lost or reordered"
    );
}
