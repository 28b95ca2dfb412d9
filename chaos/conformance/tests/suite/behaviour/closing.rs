//! `slow_close` and `limit_data`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use conformance::{Running, Upstream, cases, connect, payload};

use super::{MS, assert_over, echo, round_trip};

cases!(
    the_end_comes_late_and_the_data_does_not: "`slow_close`: the end comes `delay` later than the server closed, the data does not",
    without_a_delay_the_end_comes_at_once: "`slow_close`: without a `delay` it changes nothing",
    removing_a_slow_close_closes_at_once: "`slow_close`: removed, it closes at once",
    exactly_the_limit_gets_through: "`limit_data`: exactly `bytes` bytes get through, then the connection is closed",
    the_limit_counts_over_chunks: "`limit_data`: it counts over all chunks, each connection by itself",
    the_limit_holds_upstream_too: "`limit_data`: upstream as well",
    at_zero_the_first_data_closes: "`limit_data`: at 0 the first data closes",
    a_changed_limit_goes_on_counting: "`limit_data`: a change goes on counting",
    a_limit_that_is_removed_in_time_changes_nothing: "`limit_data`: removed in time, it changes nothing",
);

const SLOW: &str = r#"{"type":"slow_close","attributes":{"delay":400}}"#;

/// A proxied server that says `bye` and closes, with that toxic; and a client.
fn leaving(running: &Running, toxic: &str) -> TcpStream {
    let address = running.proxy("p", Upstream::Send(b"bye".to_vec()).start());
    running.toxic("p", toxic);
    connect(address)
}

fn the_end_comes_late_and_the_data_does_not(running: &Running) {
    let start = Instant::now();
    let mut stream = leaving(running, SLOW);
    stream.read_exact(&mut [0; 3]).unwrap();
    let data = start.elapsed();
    assert_over(&mut stream);
    let end = start.elapsed();
    assert!(end >= 400 * MS && end < 3000 * MS, "{end:?}");
    assert!(
        data < end - 100 * MS,
        "data after {data:?}, the end after {end:?}"
    );
}

fn without_a_delay_the_end_comes_at_once(running: &Running) {
    let mut stream = leaving(running, r#"{"type":"slow_close"}"#);
    let start = Instant::now();
    let mut seen = String::new();
    stream.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "bye");
    assert!(start.elapsed() < 2000 * MS, "{:?}", start.elapsed());
}

fn removing_a_slow_close_closes_at_once(running: &Running) {
    let mut stream = leaving(
        running,
        r#"{"type":"slow_close","attributes":{"delay":60000}}"#,
    );
    stream.read_exact(&mut [0; 3]).unwrap();
    // Let the server's end reach the proxy.
    thread::sleep(100 * MS);
    running.remove_toxic("p", "slow_close_downstream");
    let start = Instant::now();
    assert_over(&mut stream);
    assert!(start.elapsed() < 5000 * MS, "{:?}", start.elapsed());
}

fn limit(bytes: u32) -> String {
    format!(r#"{{"type":"limit_data","attributes":{{"bytes":{bytes}}}}}"#)
}

fn exactly_the_limit_gets_through(running: &Running) {
    let sent = payload(2, 100_000);
    let address = running.proxy("p", Upstream::Send(sent.clone()).start());
    running.toxic("p", &limit(50_000));
    let mut seen = Vec::new();
    // Closing with data unread may be told as a reset.
    let _ = connect(address).read_to_end(&mut seen);
    assert!(seen == sent[..50_000], "{} bytes", seen.len());
}

fn the_limit_counts_over_chunks(running: &Running) {
    let address = echo(running);
    running.toxic("p", &limit(12));
    for _ in 0..2 {
        let mut stream = connect(address);
        round_trip(&mut stream, b"first").unwrap();
        stream.write_all(b"second one").unwrap();
        let mut rest = [0; 7];
        stream.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"second ");
        assert_over(&mut stream);
    }
}

fn the_limit_holds_upstream_too(running: &Running) {
    let address = echo(running);
    running.toxic(
        "p",
        r#"{"type":"limit_data","stream":"upstream","attributes":{"bytes":4}}"#,
    );
    let mut stream = connect(address);
    stream.write_all(b"0123456789").unwrap();
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen);
    assert!(b"0123".starts_with(&seen), "{seen:?}");
}

fn at_zero_the_first_data_closes(running: &Running) {
    let address = echo(running);
    running.toxic("p", r#"{"type":"limit_data"}"#);
    let mut stream = connect(address);
    stream.set_read_timeout(Some(200 * MS)).unwrap();
    let idle = stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(idle.kind(), std::io::ErrorKind::WouldBlock);
    stream
        .set_read_timeout(Some(conformance::PATIENCE))
        .unwrap();
    stream.write_all(b"ping").unwrap();
    assert_over(&mut stream);
}

fn a_changed_limit_goes_on_counting(running: &Running) {
    let address = echo(running);
    running.toxic("p", &limit(1_000));
    let mut stream = connect(address);
    round_trip(&mut stream, b"sixteen bytes ..").unwrap();
    running.change_toxic(
        "p",
        "limit_data_downstream",
        r#"{"attributes":{"bytes":20}}"#,
    );
    round_trip(&mut stream, b"four").unwrap();
    assert_over(&mut stream);
}

fn a_limit_that_is_removed_in_time_changes_nothing(running: &Running) {
    let address = echo(running);
    running.toxic("p", &limit(10));
    let mut stream = connect(address);
    round_trip(&mut stream, b"ping").unwrap();
    running.remove_toxic("p", "limit_data_downstream");
    for _ in 0..5 {
        round_trip(&mut stream, b"ping").unwrap();
    }
}
