//! The published Rust client, unchanged, drives either server.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use conformance::{Running, Upstream, cases, connect, payload};
use toxiproxy_rust::client::Client;
use toxiproxy_rust::proxy::ProxyPack;

cases!(
    populates_finds_and_lists: "populates, finds and lists proxies",
    sets_a_latency_and_takes_it_away: "`with_latency` delays, and is taken away",
    sets_a_timeout_and_a_reset_by_name: "`with_timeout` cuts off; a `reset_peer` is listed and deleted",
    sets_a_bandwidth: "`with_bandwidth` limits the rate",
    sets_a_slow_close: "`with_slow_close` puts the end off",
    sets_a_slicer: "`with_slicer` slices",
    sets_a_limit: "`with_limit_data` closes after its bytes",
    with_down_is_down_and_up_again: "`with_down` refuses, and is up again",
    resets_everything: "resets everything, and one proxy",
    deletes_a_proxy: "deletes a proxy",
    reads_the_version: "reads the version",
);

fn client(running: &Running) -> Client {
    Client::new(running.api.address)
}

/// A client whose one proxy `p` leads to an echo.
fn populated(running: &Running) -> Client {
    let client = client(running);
    let upstream = Upstream::Echo.start().to_string();
    let packs = vec![ProxyPack::new("p".into(), "127.0.0.1:0".into(), upstream)];
    assert_eq!(client.populate(packs).unwrap().len(), 1);
    client
}

fn listen(client: &Client) -> std::net::SocketAddr {
    client
        .find_proxy("p")
        .unwrap()
        .proxy_pack
        .listen
        .parse()
        .unwrap()
}

fn round_trip(client: &Client) -> std::io::Result<Duration> {
    let mut stream = connect(listen(client));
    let start = Instant::now();
    stream.write_all(b"ping")?;
    stream.read_exact(&mut [0; 4])?;
    Ok(start.elapsed())
}

fn populates_finds_and_lists(running: &Running) {
    let client = client(running);
    assert!(client.is_running());
    let upstream = Upstream::Echo.start().to_string();
    let pack = |name: &str| ProxyPack::new(name.into(), "127.0.0.1:0".into(), upstream.clone());
    let made = client.populate(vec![pack("a"), pack("b")]).unwrap();
    let names: Vec<_> = made.iter().map(|p| p.proxy_pack.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let found = client.find_proxy("b").unwrap();
    assert_eq!(found.proxy_pack.upstream, upstream);
    assert!(found.proxy_pack.enabled && found.proxy_pack.toxics.is_empty());
    let all = client.all().unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all["b"].proxy_pack.listen, found.proxy_pack.listen);
    assert!(client.find_proxy("c").is_err());
}

fn sets_a_latency_and_takes_it_away(running: &Running) {
    let client = populated(running);
    let proxy = client.find_proxy("p").unwrap();
    let result = proxy
        .with_latency("downstream".into(), 150, 0, 1.0)
        .apply(|| {
            assert!(round_trip(&client).unwrap() >= Duration::from_millis(150));
            let toxics = proxy.toxics().unwrap();
            assert_eq!(toxics.len(), 1);
            let toxic = &toxics[0];
            assert_eq!(
                (
                    toxic.name.as_str(),
                    toxic.r#type.as_str(),
                    toxic.stream.as_str()
                ),
                ("latency_downstream", "latency", "downstream")
            );
            assert_eq!(
                (toxic.attributes["latency"], toxic.attributes["jitter"]),
                (150, 0)
            );
        });
    result.unwrap();
    assert!(proxy.toxics().unwrap().is_empty());
    assert!(round_trip(&client).unwrap() < Duration::from_millis(150));
}

fn sets_a_timeout_and_a_reset_by_name(running: &Running) {
    let client = populated(running);
    let proxy = client.find_proxy("p").unwrap();
    proxy
        .with_timeout("upstream".into(), 50, 1.0)
        .apply(|| assert!(round_trip(&client).is_err()))
        .unwrap();
    // It has no method for reset_peer, but lists and deletes one.
    running.toxic("p", r#"{"type":"reset_peer","attributes":{"timeout":0}}"#);
    assert_eq!(proxy.toxics().unwrap()[0].name, "reset_peer_downstream");
    assert!(round_trip(&client).is_err());
    proxy.delete_all_toxics().unwrap();
    round_trip(&client).unwrap();
}

/// What comes back of `n` bytes until the connection is closed.
fn echo_to_the_end(client: &Client, n: usize) -> Vec<u8> {
    let mut stream = connect(listen(client));
    stream.write_all(&payload(1, n)).unwrap();
    let mut seen = Vec::new();
    // A close with bytes still on their way may reach the client as a reset.
    let _ = stream.read_to_end(&mut seen);
    seen
}

/// Sends `n` bytes through an echo; how long until they are back.
fn echo(client: &Client, n: usize) -> Duration {
    let mut stream = connect(listen(client));
    let start = Instant::now();
    stream.write_all(&payload(1, n)).unwrap();
    let mut seen = vec![0; n];
    stream.read_exact(&mut seen).unwrap();
    assert!(seen == payload(1, n), "bytes were lost or reordered");
    start.elapsed()
}

fn sets_a_bandwidth(running: &Running) {
    let client = populated(running);
    let proxy = client.find_proxy("p").unwrap();
    let limited = proxy.with_bandwidth("downstream".into(), 100, 1.0);
    let result = limited.apply(|| {
        assert_eq!(proxy.toxics().unwrap()[0].attributes["rate"], 100);
        assert!(echo(&client, 30_000) >= Duration::from_millis(280));
    });
    result.unwrap();
    echo(&client, 30_000);
}

fn sets_a_slow_close(running: &Running) {
    let client = client(running);
    let upstream = Upstream::Send(b"bye".to_vec()).start().to_string();
    let pack = ProxyPack::new("p".into(), "127.0.0.1:0".into(), upstream);
    client.populate(vec![pack]).unwrap();
    let proxy = client.find_proxy("p").unwrap();
    let slow = proxy.with_slow_close("downstream".into(), 200, 1.0);
    slow.apply(|| {
        let start = Instant::now();
        let mut seen = String::new();
        connect(listen(&client)).read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "bye");
        assert!(start.elapsed() >= Duration::from_millis(200));
    })
    .unwrap();
}

fn sets_a_slicer(running: &Running) {
    let client = populated(running);
    let proxy = client.find_proxy("p").unwrap();
    // Ten slices or more, 20 ms apart.
    let sliced = proxy.with_slicer("downstream".into(), 90, 10, 20_000, 1.0);
    sliced
        .apply(|| assert!(echo(&client, 1_000) >= Duration::from_millis(180)))
        .unwrap();
}

fn sets_a_limit(running: &Running) {
    let client = populated(running);
    let proxy = client.find_proxy("p").unwrap();
    let limited = proxy.with_limit_data("downstream".into(), 100, 1.0);
    let result = limited.apply(|| {
        assert_eq!(echo_to_the_end(&client, 1_000), payload(1, 100));
    });
    result.unwrap();
    echo(&client, 1_000);
}

fn with_down_is_down_and_up_again(running: &Running) {
    let client = populated(running);
    let before = listen(&client);
    let proxy = client.find_proxy("p").unwrap();
    proxy
        .with_down(|| {
            assert!(std::net::TcpStream::connect(before).is_err());
            assert!(!client.find_proxy("p").unwrap().proxy_pack.enabled);
        })
        .unwrap();
    assert_eq!(listen(&client), before);
    round_trip(&client).unwrap();
}

fn resets_everything(running: &Running) {
    let client = populated(running);
    let proxy = client.find_proxy("p").unwrap();
    proxy.with_latency("upstream".into(), 60_000, 0, 1.0);
    proxy.disable().unwrap();
    client.reset().unwrap();
    let found = client.find_proxy("p").unwrap().proxy_pack;
    assert!(found.enabled && found.toxics.is_empty(), "{found:?}");
    round_trip(&client).unwrap();
    proxy.with_latency("upstream".into(), 60_000, 0, 1.0);
    proxy.disable().unwrap();
    let found = client.find_and_reset_proxy("p").unwrap();
    assert!(found.toxics().unwrap().is_empty());
    round_trip(&client).unwrap();
}

fn deletes_a_proxy(running: &Running) {
    let client = populated(running);
    let address = listen(&client);
    client.find_proxy("p").unwrap().delete().unwrap();
    assert!(client.find_proxy("p").is_err());
    assert!(std::net::TcpStream::connect(address).is_err());
}

fn reads_the_version(running: &Running) {
    let version: serde_json::Value =
        serde_json::from_str(&client(running).version().unwrap()).unwrap();
    assert!(version["version"].is_string(), "{version}");
}
