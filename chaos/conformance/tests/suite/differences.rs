//! Where Toxiproxy 2.12 is wrong and ours is right on purpose. Each difference
//! is observed on both, so that this list stays true.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use conformance::{Running, Server, Upstream, connect};

/// A difference: what the right behaviour is, and whether a server has it.
pub struct Difference {
    /// What ours does.
    pub ours: &'static str,
    /// What Toxiproxy does in its place.
    pub real: &'static str,
    /// Arguments that all servers of it are started with.
    args: &'static [&'static str],
    /// How many servers, started alike, the observation takes.
    servers: usize,
    /// Do the servers do as ours?
    right: fn(&[Running]) -> bool,
    /// By server, `None` if it was left out; each is looked at once.
    seen: [OnceLock<Option<bool>>; 2],
}

impl Difference {
    const fn new(ours: &'static str, real: &'static str, right: fn(&[Running]) -> bool) -> Self {
        Self {
            ours,
            real,
            args: &[],
            servers: 1,
            right,
            seen: [const { OnceLock::new() }; 2],
        }
    }

    /// With two servers of the same seed.
    const fn seeded(mut self, servers: usize) -> Self {
        self.args = &["--seed", "7"];
        self.servers = servers;
        self
    }

    /// Does that server do as ours is to do?
    pub fn is_right(&self, server: Server) -> Option<bool> {
        *self.seen[server as usize].get_or_init(|| {
            let start = || server.start(self.ours, self.args);
            let servers: Vec<_> = (0..self.servers).map_while(|_| start()).collect();
            (servers.len() == self.servers).then(|| (self.right)(&servers))
        })
    }
}

/// Of the toxic in [`decided_once`].
const LATENCY: Duration = Duration::from_millis(400);

pub static DIFFERENCES: [Difference; 15] = [
    Difference::new(
        "a `slicer` without an `average_size` cuts nothing",
        "the first data kills the process (stack overflow)",
        sizeless_slicer,
    ),
    Difference::new(
        "a `slicer` whose `size_variation` is above its `average_size` makes slices of 1 byte and more",
        "data kills the process (slice bounds out of range)",
        wide_slicer,
    ),
    Difference::new(
        "a `bandwidth` below 0 counts as 0",
        "the first data kills the process (slice bounds out of range)",
        negative_rate,
    ),
    Difference::new(
        "a client that is done sending still gets its answer",
        "the end of one direction closes both",
        half_close,
    ),
    Difference::new(
        "`reset_peer` resets connections that were there before it",
        "those are closed in the ordinary way",
        live_reset,
    ),
    Difference::new(
        "`reset_peer` with toxicity 0 changes nothing",
        "the client's ordinary end of the connection becomes a reset",
        harmless_reset,
    ),
    Difference::new(
        "removing an armed `reset_peer` saves the connection",
        "the request waits for the reset, which happens all the same",
        disarmed_reset,
    ),
    Difference::new(
        "removing a `timeout` closes only connections that it acted on",
        "all connections are closed",
        harmless_removal,
    ),
    Difference::new(
        "a changed `latency` is applied to what is held",
        "the chunk being delayed is let out at once",
        lengthened_latency,
    ),
    Difference::new(
        "the same seed decides toxicity alike",
        "the seed does nothing",
        seeded,
    )
    .seeded(2),
    Difference::new(
        "toxicity is decided once a connection",
        "it is decided again whenever another toxic is added behind it",
        decided_once,
    )
    .seeded(1),
    Difference::new(
        "a refused update of a toxic changes nothing",
        "attributes that it could read stay set, and act",
        refused_update,
    ),
    Difference::new(
        "what each toxic acted on is told (`/faultline/acted`)",
        "nothing tells: 404",
        acted,
    ),
    Difference::new(
        "a proxy is shown with its own five fields",
        "an empty field `Logger` is shown too",
        five_fields,
    ),
    Difference::new(
        "errors are of type `application/json`",
        "they are JSON, but said to be `text/plain`",
        json_errors,
    ),
];

#[test]
fn the_list_is_true() {
    for difference in &DIFFERENCES {
        for (server, right, says) in [
            (Server::Ours, true, difference.ours),
            (Server::Real, false, difference.real),
        ] {
            let seen = difference.is_right(server);
            assert!(
                seen.is_none_or(|seen| seen == right),
                "{server:?} was to show that {says}"
            );
        }
    }
}

/// How long a process that is to die may take to.
const DYING: Duration = Duration::from_millis(1500);

/// Sends data through that toxic; the process must live, and the data arrive.
fn survives(servers: &[Running], toxic: &str) -> bool {
    let address = echo(&servers[0]);
    servers[0].toxic("p", toxic);
    let mut stream = connect(address);
    stream.write_all(&[7; 2_000]).unwrap();
    let back = stream.read_exact(&mut [0; 2_000]);
    servers[0].survives(DYING) && back.is_ok()
}

fn sizeless_slicer(servers: &[Running]) -> bool {
    survives(servers, r#"{"type":"slicer"}"#)
}

fn wide_slicer(servers: &[Running]) -> bool {
    let sizes = r#"{"average_size":1,"size_variation":50}"#;
    survives(
        servers,
        &format!(r#"{{"type":"slicer","attributes":{sizes}}}"#),
    )
}

fn negative_rate(servers: &[Running]) -> bool {
    let address = echo(&servers[0]);
    servers[0].toxic("p", r#"{"type":"bandwidth","attributes":{"rate":-1}}"#);
    let mut stream = connect(address);
    stream.write_all(b"ping").unwrap();
    servers[0].survives(DYING)
}

fn disarmed_reset(servers: &[Running]) -> bool {
    let mut stream = connect(echo(&servers[0]));
    servers[0].toxic(
        "p",
        r#"{"type":"reset_peer","attributes":{"timeout":1500}}"#,
    );
    stream.write_all(b"ping").unwrap();
    // Let the data reach the toxic.
    thread::sleep(Duration::from_millis(300));
    servers[0].remove_toxic("p", "reset_peer_downstream");
    stream.read_exact(&mut [0; 4]).is_ok()
}

fn lengthened_latency(servers: &[Running]) -> bool {
    let mut stream = connect(echo(&servers[0]));
    servers[0].toxic("p", r#"{"type":"latency","attributes":{"latency":900}}"#);
    let start = Instant::now();
    stream.write_all(b"ping").unwrap();
    thread::sleep(Duration::from_millis(200));
    let longer = r#"{"attributes":{"latency":1000}}"#;
    servers[0].change_toxic("p", "latency_downstream", longer);
    stream.read_exact(&mut [0; 4]).unwrap();
    start.elapsed() >= Duration::from_millis(1000)
}

fn refused_update(servers: &[Running]) -> bool {
    echo(&servers[0]);
    servers[0].toxic("p", r#"{"type":"latency","attributes":{"latency":5}}"#);
    let path = "/proxies/p/toxics/latency_downstream";
    let bad = r#"{"attributes":{"latency":9,"jitter":"x"}}"#;
    assert_eq!(servers[0].api.post(path, bad).status, 400);
    servers[0].api.get(path).json["attributes"]["latency"] == 5
}

fn acted(servers: &[Running]) -> bool {
    let address = echo(&servers[0]);
    servers[0].toxic("p", r#"{"type":"latency"}"#);
    round_trip(&mut connect(address)).unwrap();
    let told = servers[0].api.get("/faultline/acted").json;
    told["proxies"]["p"]["toxics"]["latency_downstream"]["connections"] == 1
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
    servers[0].remove_toxic("p", "timeout_downstream");
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
