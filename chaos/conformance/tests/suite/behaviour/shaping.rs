//! `bandwidth` and `slicer`.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use conformance::{PATIENCE, Running, Upstream, cases, connect, payload};

use super::{MS, echo, echoed, round_trip};

cases!(
    a_kilobyte_is_a_thousand_bytes: "`bandwidth`: `rate` is in kilobytes of 1000 bytes a second",
    the_rate_is_kept_all_along: "`bandwidth`: data comes at that rate all along, not in one piece at the end",
    the_rate_holds_upstream_too: "`bandwidth`: upstream as well",
    a_rate_of_zero_stops_until_it_is_changed: "`bandwidth`: at 0 nothing passes until it is changed",
    a_changed_rate_acts_on_a_live_connection: "`bandwidth`: a change acts on live connections",
    removing_a_bandwidth_lets_out_what_it_held: "`bandwidth`: removed, it lets out what it held, in order",
    slices_come_one_after_the_other: "`slicer`: slices of at most `average_size` + `size_variation`, `delay` µs apart",
    slicing_keeps_the_content: "`slicer`: no byte is lost or reordered",
    removing_a_slicer_lets_out_what_it_held: "`slicer`: removed, it lets out what it held, in order",
);

/// Reads that many bytes; when each read came, and how much it brought.
fn arrivals(stream: &mut TcpStream, mut n: usize) -> Vec<(Duration, usize)> {
    let start = Instant::now();
    let mut seen = Vec::new();
    let mut buffer = vec![0; n];
    while n > 0 {
        let read = stream.read(&mut buffer[..n]).unwrap();
        assert!(read > 0, "closed after {seen:?}");
        seen.push((start.elapsed(), read));
        n -= read;
    }
    seen
}

/// When that many bytes were there.
fn reached(arrivals: &[(Duration, usize)], n: usize) -> Duration {
    let mut sum = 0;
    let there = arrivals.iter().find(|(_, size)| {
        sum += size;
        sum >= n
    });
    there.expect("that many bytes came").0
}

fn download(running: &Running, bytes: usize) -> TcpStream {
    connect(running.proxy("p", Upstream::Send(payload(2, bytes)).start()))
}

fn limited(rate: u32) -> String {
    format!(r#"{{"type":"bandwidth","attributes":{{"rate":{rate}}}}}"#)
}

/// A proxy with that toxic, and a client of it that downloads.
fn toxic_download(running: &Running, toxic: &str, bytes: usize) -> TcpStream {
    let address = running.proxy("p", Upstream::Send(payload(2, bytes)).start());
    running.toxic("p", toxic);
    connect(address)
}

fn a_kilobyte_is_a_thousand_bytes(running: &Running) {
    let mut stream = toxic_download(running, &limited(200), 120_000);
    let took = reached(&arrivals(&mut stream, 120_000), 120_000);
    // 600 ms; with kibibytes it would be 586.
    assert!(took >= 592 * MS && took < 1500 * MS, "{took:?}");
}

fn the_rate_is_kept_all_along(running: &Running) {
    let mut stream = toxic_download(running, &limited(200), 160_000);
    let seen = arrivals(&mut stream, 160_000);
    let [half, all] = [80_000, 160_000].map(|n| reached(&seen, n));
    assert!(half >= 290 * MS, "half after {half:?} of {all:?}");
    assert!(all - half >= 200 * MS, "half after {half:?} of {all:?}");
}

fn the_rate_holds_upstream_too(running: &Running) {
    let address = echo(running);
    running.toxic(
        "p",
        r#"{"type":"bandwidth","stream":"upstream","attributes":{"rate":200}}"#,
    );
    let start = Instant::now();
    echoed(&connect(address), &payload(1, 80_000));
    assert!(start.elapsed() >= 390 * MS, "{:?}", start.elapsed());
}

fn a_rate_of_zero_stops_until_it_is_changed(running: &Running) {
    let mut stream = toxic_download(running, r#"{"type":"bandwidth"}"#, 1_000);
    stream.set_read_timeout(Some(300 * MS)).unwrap();
    assert!(stream.read(&mut [0; 8]).is_err());
    running.change_toxic(
        "p",
        "bandwidth_downstream",
        r#"{"attributes":{"rate":100}}"#,
    );
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut seen = vec![0; 1_000];
    stream.read_exact(&mut seen).unwrap();
    assert!(seen == payload(2, 1_000), "bytes were lost or reordered");
}

fn a_changed_rate_acts_on_a_live_connection(running: &Running) {
    let mut stream = connect(echo(running));
    let data = payload(3, 30_000);
    round_trip(&mut stream, &data).unwrap();
    running.toxic("p", &limited(100));
    assert!(round_trip(&mut stream, &data).unwrap() >= 280 * MS);
    running.change_toxic(
        "p",
        "bandwidth_downstream",
        r#"{"attributes":{"rate":100000}}"#,
    );
    assert!(round_trip(&mut stream, &data).unwrap() < 280 * MS);
}

fn removing_a_bandwidth_lets_out_what_it_held(running: &Running) {
    let sent = payload(2, 200_000);
    let mut stream = download(running, sent.len());
    running.toxic("p", &limited(1));
    let start = Instant::now();
    std::thread::sleep(100 * MS);
    running.remove_toxic("p", "bandwidth_downstream");
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).unwrap();
    assert!(seen == sent, "{} of {} bytes", seen.len(), sent.len());
    assert!(start.elapsed() < 5000 * MS, "{:?}", start.elapsed());
}

fn slices_come_one_after_the_other(running: &Running) {
    let slicer =
        r#"{"type":"slicer","attributes":{"average_size":80,"size_variation":20,"delay":25000}}"#;
    let mut stream = toxic_download(running, slicer, 1_000);
    let seen = arrivals(&mut stream, 1_000);
    // Ten slices or more. Two may come in one read if the reader was held up.
    assert!(seen.len() >= 5, "{seen:?}");
    let took = seen.last().unwrap().0 - seen[0].0;
    assert!(took >= 100 * MS, "{seen:?}");
    assert!(reached(&seen, 1_000) >= 9 * 25 * MS - 20 * MS, "{seen:?}");
}

fn slicing_keeps_the_content(running: &Running) {
    let address = echo(running);
    for stream in ["upstream", "downstream"] {
        let sizes = r#"{"average_size":300,"size_variation":200,"delay":10}"#;
        running.toxic(
            "p",
            &format!(r#"{{"type":"slicer","stream":"{stream}","attributes":{sizes}}}"#),
        );
    }
    let sent = payload(8, 300_001);
    assert!(
        echoed(&connect(address), &sent) == sent,
        "bytes were lost or reordered"
    );
}

fn removing_a_slicer_lets_out_what_it_held(running: &Running) {
    let slicer = r#"{"type":"slicer","attributes":{"average_size":10,"delay":20000}}"#;
    let sent = payload(2, 20_000);
    let mut stream = toxic_download(running, slicer, sent.len());
    let mut seen = vec![0; 30];
    stream.read_exact(&mut seen).unwrap();
    let start = Instant::now();
    running.remove_toxic("p", "slicer_downstream");
    stream.read_to_end(&mut seen).unwrap();
    assert!(seen == sent, "{} of {} bytes", seen.len(), sent.len());
    assert!(start.elapsed() < 5000 * MS, "{:?}", start.elapsed());
}
