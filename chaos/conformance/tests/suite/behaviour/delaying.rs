//! `latency`, `timeout`, `reset_peer`.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::Instant;

use conformance::{Running, cases, connect, payload};

use super::{MS, assert_over, echo, round_trip};

cases!(
    latency_is_added_once_to_a_burst: "`latency`: a burst is delayed once, not once a chunk",
    latencies_of_both_directions_add_up: "`latency`: those of both directions add up",
    jitter_spreads_the_delays: "`latency`: `jitter` spreads the delays around it",
    a_changed_latency_acts_on_a_live_connection: "`latency`: a change acts on live connections",
    removing_a_latency_lets_out_what_it_held_in_order: "`latency`: removed, it lets out what it held, in order",
    a_timeout_lets_nothing_through_and_closes: "`timeout`: nothing gets through, and the connection is closed after it",
    a_timeout_of_zero_hangs_until_it_is_removed: "`timeout`: at 0 it hangs until it is removed, which closes",
    reset_peer_resets: "`reset_peer`: clients see a reset",
    reset_peer_waits_its_time: "`reset_peer`: it comes `timeout` after the data",
);

fn latency_is_added_once_to_a_burst(running: &Running) {
    let address = echo(running);
    running.toxic("p", r#"{"type":"latency","attributes":{"latency":200}}"#);
    let mut stream = connect(address);
    let start = Instant::now();
    for _ in 0..10 {
        stream.write_all(b"chunk").unwrap();
        // Apart from each other, so that they travel as chunks of their own.
        thread::sleep(3 * MS);
    }
    stream.read_exact(&mut [0; 50]).unwrap();
    let took = start.elapsed();
    assert!(took >= 200 * MS, "{took:?}");
    assert!(
        took < 900 * MS,
        "the delays of ten chunks added up: {took:?}"
    );
}

fn latencies_of_both_directions_add_up(running: &Running) {
    let address = echo(running);
    running.toxic("p", r#"{"type":"latency","attributes":{"latency":120}}"#);
    running.toxic(
        "p",
        r#"{"type":"latency","stream":"upstream","attributes":{"latency":80}}"#,
    );
    let took = round_trip(&mut connect(address), b"ping").unwrap();
    assert!(took >= 200 * MS && took < 700 * MS, "{took:?}");
}

fn a_changed_latency_acts_on_a_live_connection(running: &Running) {
    let address = echo(running);
    let mut stream = connect(address);
    round_trip(&mut stream, b"before").unwrap();
    running.toxic("p", r#"{"type":"latency","attributes":{"latency":10}}"#);
    assert!(round_trip(&mut stream, b"added").unwrap() >= 10 * MS);
    let path = "/proxies/p/toxics/latency_downstream";
    assert_eq!(
        running
            .api
            .post(path, r#"{"attributes":{"latency":300}}"#)
            .status,
        200
    );
    assert!(round_trip(&mut stream, b"changed").unwrap() >= 300 * MS);
    assert_eq!(running.api.delete(path).status, 204);
    assert!(round_trip(&mut stream, b"removed").unwrap() < 300 * MS);
}

fn removing_a_latency_lets_out_what_it_held_in_order(running: &Running) {
    let address = echo(running);
    running.toxic("p", r#"{"type":"latency","attributes":{"latency":30000}}"#);
    let mut stream = connect(address);
    let sent = payload(5, 64 * 1024);
    for part in sent.chunks(1024) {
        stream.write_all(part).unwrap();
    }
    thread::sleep(100 * MS);
    let start = Instant::now();
    running.remove_toxic("p", "latency_downstream");
    let mut seen = vec![0; sent.len()];
    stream.read_exact(&mut seen).unwrap();
    assert!(seen == sent, "bytes were lost or reordered");
    assert!(start.elapsed() < 5000 * MS, "{:?}", start.elapsed());
}

fn a_timeout_lets_nothing_through_and_closes(running: &Running) {
    let address = echo(running);
    running.toxic("p", r#"{"type":"timeout","attributes":{"timeout":200}}"#);
    let mut stream = connect(address);
    let start = Instant::now();
    stream.write_all(b"ping").unwrap();
    assert_over(&mut stream);
    let took = start.elapsed();
    // From the server's answer on, which comes after the start.
    assert!(took >= 200 * MS && took < 1500 * MS, "{took:?}");
}

fn a_timeout_of_zero_hangs_until_it_is_removed(running: &Running) {
    let address = echo(running);
    running.toxic("p", r#"{"type":"timeout"}"#);
    let mut stream = connect(address);
    stream.write_all(b"ping").unwrap();
    stream.set_read_timeout(Some(300 * MS)).unwrap();
    let error = stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    stream
        .set_read_timeout(Some(conformance::PATIENCE))
        .unwrap();
    running.remove_toxic("p", "timeout_downstream");
    assert_over(&mut stream);
}

fn reset_peer_resets(running: &Running) {
    let address = echo(running);
    running.toxic("p", r#"{"type":"reset_peer"}"#);
    let error = round_trip(&mut connect(address), b"ping").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn reset_peer_waits_its_time(running: &Running) {
    let address = echo(running);
    running.toxic(
        "p",
        r#"{"type":"reset_peer","stream":"upstream","attributes":{"timeout":200}}"#,
    );
    let mut stream = connect(address);
    let start = Instant::now();
    let error = round_trip(&mut stream, b"ping").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(start.elapsed() >= 200 * MS);
}

fn jitter_spreads_the_delays(running: &Running) {
    let address = echo(running);
    running.toxic(
        "p",
        r#"{"type":"latency","attributes":{"latency":100,"jitter":60}}"#,
    );
    let mut stream = connect(address);
    let delays: Vec<_> = (0..12)
        .map(|_| round_trip(&mut stream, b"ping").unwrap())
        .collect();
    assert!(delays.iter().all(|delay| *delay >= 40 * MS), "{delays:?}");
    // A jitter of ±60 ms that put 12 draws within 10 ms of each other would be none.
    let tens: BTreeSet<_> = delays.iter().map(|delay| delay.as_millis() / 10).collect();
    assert!(tens.len() >= 3, "{delays:?}");
}
