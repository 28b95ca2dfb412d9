//! Where Toxiproxy 2.12 is wrong and ours is right on purpose. Each difference
//! is observed on both, so that this list stays true.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use conformance::{Running, Server, Upstream, connect};

/// A difference: what the right behaviour is, and whether a server has it.
struct Difference {
    /// What ours does.
    ours: &'static str,
    /// What Toxiproxy does in its place.
    real: &'static str,
    /// Arguments that both are started with.
    args: &'static [&'static str],
    /// Does the server do as ours?
    right: fn(&[Running]) -> bool,
    /// How many servers, started alike, the observation takes.
    servers: usize,
}

/// Of the toxic in [`decided_once`].
const LATENCY: Duration = Duration::from_millis(400);

const DIFFERENCES: &[Difference] = &[
    Difference {
        ours: "a client that is done sending still gets its answer",
        real: "the end of one direction closes both",
        args: &[],
        right: half_close,
        servers: 1,
    },
    Difference {
        ours: "reset_peer resets connections that were there before it",
        real: "those are closed in the ordinary way",
        args: &[],
        right: live_reset,
        servers: 1,
    },
    Difference {
        ours: "reset_peer with toxicity 0 changes nothing",
        real: "the client's ordinary end of the connection becomes a reset",
        args: &[],
        right: harmless_reset,
        servers: 1,
    },
    Difference {
        ours: "removing a timeout closes only connections that it acted on",
        real: "all connections are closed",
        args: &[],
        right: harmless_removal,
        servers: 1,
    },
    Difference {
        ours: "the same seed decides toxicity alike",
        real: "the seed does nothing",
        args: &["--seed", "7"],
        right: seeded,
        servers: 2,
    },
    Difference {
        ours: "toxicity is decided once a connection",
        real: "it is decided again whenever another toxic is added behind it",
        args: &["--seed", "7"],
        right: decided_once,
        servers: 1,
    },
    Difference {
        ours: "a proxy is shown with its own five fields",
        real: "an empty field `Logger` is shown too",
        args: &[],
        right: five_fields,
        servers: 1,
    },
    Difference {
        ours: "errors are of type application/json",
        real: "they are JSON, but said to be text/plain",
        args: &[],
        right: json_errors,
        servers: 1,
    },
];

#[test]
fn the_list_is_true() {
    for difference in DIFFERENCES {
        for server in [Server::Ours, Server::Real] {
            let start = || server.start(difference.ours, difference.args);
            let servers: Vec<_> = (0..difference.servers).map_while(|_| start()).collect();
            if servers.len() < difference.servers {
                continue;
            }
            let said = if server == Server::Ours {
                difference.ours
            } else {
                difference.real
            };
            let right = (difference.right)(&servers);
            assert_eq!(
                right,
                server == Server::Ours,
                "{server:?} was to show that {said}"
            );
        }
    }
}

fn echo(running: &Running) -> SocketAddr {
    running.proxy("p", Upstream::Echo.start())
}

fn round_trip(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"ping")?;
    stream.read_exact(&mut [0; 4])
}

fn half_close(servers: &[Running]) -> bool {
    let address = servers[0].proxy("p", Upstream::Count.start());
    let mut stream = connect(address);
    stream.write_all(&[0; 1000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).is_ok() && answer == "1000"
}

fn live_reset(servers: &[Running]) -> bool {
    let mut stream = connect(echo(&servers[0]));
    round_trip(&mut stream).unwrap();
    servers[0].toxic("p", r#"{"type":"reset_peer"}"#);
    stream.write_all(b"ping").unwrap();
    stream
        .read(&mut [0; 4])
        .is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
}

/// A server that answers and closes; its client then sends nothing more.
fn harmless_reset(servers: &[Running]) -> bool {
    let address = servers[0].proxy("p", Upstream::Send(b"bye".to_vec()).start());
    servers[0].toxic("p", r#"{"type":"reset_peer","toxicity":0}"#);
    let mut seen = Vec::new();
    connect(address).read_to_end(&mut seen).is_ok() && seen == b"bye"
}

fn harmless_removal(servers: &[Running]) -> bool {
    let address = echo(&servers[0]);
    servers[0].toxic("p", r#"{"type":"timeout","toxicity":0}"#);
    let mut stream = connect(address);
    round_trip(&mut stream).unwrap();
    assert_eq!(
        servers[0]
            .api
            .delete("/proxies/p/toxics/timeout_downstream")
            .status,
        204
    );
    round_trip(&mut stream).is_ok()
}

/// Which of 40 connections, one after the other, a toxicity of one half cuts off.
fn fates(running: &Running) -> Vec<bool> {
    let address = echo(running);
    running.toxic("p", r#"{"type":"reset_peer","toxicity":0.5}"#);
    (0..40)
        .map(|_| round_trip(&mut connect(address)).is_err())
        .collect()
}

fn seeded(servers: &[Running]) -> bool {
    let (one, other) = (fates(&servers[0]), fates(&servers[1]));
    assert!(
        one.contains(&true) && one.contains(&false),
        "{one:?} at toxicity 0.5"
    );
    one == other
}

fn is_slow(stream: &mut TcpStream) -> bool {
    let start = Instant::now();
    round_trip(stream).unwrap();
    start.elapsed() >= LATENCY
}

/// A latency acts on some of 40 live connections. Then another toxic is added
/// behind it. Are the same ones still slow?
fn decided_once(servers: &[Running]) -> bool {
    let address = echo(&servers[0]);
    servers[0].toxic(
        "p",
        r#"{"type":"latency","toxicity":0.5,"attributes":{"latency":400}}"#,
    );
    let mut streams: Vec<_> = (0..40).map(|_| connect(address)).collect();
    let mut slow = || -> Vec<bool> {
        thread::scope(|scope| {
            let waits: Vec<_> = streams
                .iter_mut()
                .map(|s| scope.spawn(|| is_slow(s)))
                .collect();
            waits.into_iter().map(|wait| wait.join().unwrap()).collect()
        })
    };
    let before = slow();
    servers[0].toxic("p", r#"{"type":"latency","name":"behind"}"#);
    let after = slow();
    for fates in [&before, &after] {
        assert!(
            fates.contains(&true) && fates.contains(&false),
            "{fates:?} at toxicity 0.5"
        );
    }
    before == after
}

fn five_fields(servers: &[Running]) -> bool {
    echo(&servers[0]);
    let shown = servers[0].api.get("/proxies/p").json;
    shown.as_object().is_some_and(|fields| fields.len() == 5)
}

fn json_errors(servers: &[Running]) -> bool {
    let answer = servers[0].api.get("/proxies/none");
    assert_eq!(answer.json["status"], 404);
    answer.media_type == "application/json"
}
