//! What clients of a proxied server see.
//!
//! Times are lower bounds, which hold on any machine, and upper bounds with
//! room for a busy one: these are real processes on a real clock.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use conformance::{Running, Upstream, connect, for_both, payload};

for_both!(
    latency_is_added_once_to_a_burst,
    latencies_of_both_directions_add_up,
    a_changed_latency_acts_on_a_live_connection,
    removing_a_latency_lets_out_what_it_held_in_order,
    a_timeout_lets_nothing_through_and_closes,
    a_timeout_of_zero_hangs_until_it_is_removed,
    reset_peer_resets,
    reset_peer_waits_its_time,
    down_refuses_and_kills,
    a_toxicity_of_zero_does_nothing,
    bytes_survive_latency_and_jitter_both_ways,
    bytes_survive_toxics_that_come_and_go,
    what_was_sent_before_closing_arrives,
    a_dead_upstream_closes_the_client,
    moving_the_upstream_moves_new_connections,
);

const MS: Duration = Duration::from_millis(1);

fn echo(running: &Running) -> SocketAddr {
    running.proxy("p", Upstream::Echo.start())
}

fn round_trip(stream: &mut TcpStream, data: &[u8]) -> std::io::Result<Duration> {
    let start = Instant::now();
    stream.write_all(data)?;
    let mut back = vec![0; data.len()];
    stream.read_exact(&mut back)?;
    assert_eq!(back, data);
    Ok(start.elapsed())
}

/// The stream is over: closed or reset, with nothing more to read.
fn assert_over(stream: &mut TcpStream) {
    match stream.read(&mut [0; 64]) {
        Ok(0) => {}
        Ok(n) => panic!("{n} more bytes came"),
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset, "{e}"),
    }
}

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
    assert_eq!(
        running
            .api
            .delete("/proxies/p/toxics/latency_downstream")
            .status,
        204
    );
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
    assert_eq!(
        running
            .api
            .delete("/proxies/p/toxics/timeout_downstream")
            .status,
        204
    );
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

/// Sends and receives at once, which an echo of megabytes needs.
fn echoed(stream: &TcpStream, sent: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for part in sent.chunks(7001) {
                writer.write_all(part).unwrap();
            }
        });
        let mut seen = vec![0; sent.len()];
        reader.read_exact(&mut seen).unwrap();
        seen
    })
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
            assert_eq!(
                running
                    .api
                    .delete("/proxies/p/toxics/latency_downstream")
                    .status,
                204
            );
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
