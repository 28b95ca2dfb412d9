//! What clients of a proxied server see.
//!
//! Times are lower bounds, which hold on any machine, and upper bounds with
//! room for a busy one: these are real processes on a real clock.

pub mod closing;
pub mod connections;
pub mod delaying;
pub mod shaping;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use conformance::{Running, Upstream};

pub const MS: Duration = Duration::from_millis(1);

pub fn echo(running: &Running) -> SocketAddr {
    running.proxy("p", Upstream::Echo.start())
}

pub fn round_trip(stream: &mut TcpStream, data: &[u8]) -> std::io::Result<Duration> {
    let start = Instant::now();
    stream.write_all(data)?;
    let mut back = vec![0; data.len()];
    stream.read_exact(&mut back)?;
    assert_eq!(back, data);
    Ok(start.elapsed())
}

/// The stream is over: closed or reset, with nothing more to read.
pub fn assert_over(stream: &mut TcpStream) {
    match stream.read(&mut [0; 64]) {
        Ok(0) => {}
        Ok(n) => panic!("{n} more bytes came"),
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset, "{e}"),
    }
}

/// Sends and receives at once, which an echo of megabytes needs.
pub fn echoed(stream: &TcpStream, sent: &[u8]) -> Vec<u8> {
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
