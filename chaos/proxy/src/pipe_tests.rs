use std::sync::Arc;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::draw::Draws;
use crate::metrics::Metrics;
use crate::toxics::{Direction, Toxics};

/// A pipe on in-memory streams: what is written to `sender` comes out of
/// `receiver`, through whatever `toxics` holds.
struct Rig {
    sender: DuplexStream,
    receiver: DuplexStream,
    toxics: Toxics,
    metrics: Arc<Metrics>,
    task: JoinHandle<Ended>,
}

fn rig(buffer: usize) -> Rig {
    let (sender, reader) = duplex(buffer);
    let (writer, receiver) = duplex(buffer);
    let toxics = Toxics::quiet();
    let metrics = Arc::new(Metrics::new());
    let chain = Chain::new(Direction::Downstream, Draws::of(1));
    let counted = metrics.direction("link", Direction::Downstream);
    let pipe = Pipe::new(reader, writer, chain, toxics.watch(), counted);
    Rig {
        sender,
        receiver,
        toxics,
        metrics,
        task: tokio::spawn(pipe.run()),
    }
}

impl Rig {
    async fn receive(&mut self, n: usize) -> Vec<u8> {
        let mut data = vec![0; n];
        self.receiver.read_exact(&mut data).await.unwrap();
        data
    }
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn without_toxics_it_copies_and_passes_the_half_close_on() {
    let mut rig = rig(64);
    let payload: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
    let sent = payload.clone();
    let Rig { mut sender, .. } = rig;
    let writing = tokio::spawn(async move {
        sender.write_all(&sent).await.unwrap();
        sender.shutdown().await.unwrap();
        sender
    });
    let mut seen = Vec::new();
    rig.receiver.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, payload);
    assert_eq!(rig.task.await.unwrap(), Ended::HalfClosed);
    writing.await.unwrap();
    let text = rig.metrics.render();
    assert!(
        text.contains(r#"proxy_bytes_total{link="link",direction="downstream"} 10000"#),
        "{text}"
    );
    assert!(
        text.contains(r#"proxy_connections{link="link",direction="downstream"} 0"#),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_delayed_once_not_once_a_chunk() {
    let mut rig = rig(4096);
    rig.toxics
        .add(br#"{"type":"latency","attributes":{"latency":100}}"#)
        .unwrap();
    let start = Instant::now();
    for _ in 0..20 {
        rig.sender.write_all(b"chunk").await.unwrap();
    }
    rig.receive(100).await;
    let took = start.elapsed();
    assert!(took >= 100 * MS && took < 110 * MS, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_toxic_acts_on_a_live_connection_and_its_removal_flushes() {
    let mut rig = rig(4096);
    rig.sender.write_all(b"before").await.unwrap();
    assert_eq!(rig.receive(6).await, b"before");
    rig.toxics
        .add(br#"{"type":"latency","attributes":{"latency":60000}}"#)
        .unwrap();
    let start = Instant::now();
    rig.sender.write_all(b"held").await.unwrap();
    tokio::time::sleep(10 * MS).await;
    rig.toxics.clear();
    rig.sender.write_all(b"after").await.unwrap();
    assert_eq!(rig.receive(9).await, b"heldafter");
    assert!(start.elapsed() < 20 * MS, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_bandwidth_stops_the_sender_and_keeps_the_rate() {
    let mut rig = rig(1024);
    rig.toxics
        .add(br#"{"type":"bandwidth","attributes":{"rate":100}}"#)
        .unwrap();
    let start = Instant::now();
    let Rig { mut sender, .. } = rig;
    let writing = tokio::spawn(async move {
        sender.write_all(&[5; 500_000]).await.unwrap();
        (sender, start.elapsed())
    });
    let mut seen = vec![0; 500_000];
    rig.receiver.read_exact(&mut seen).await.unwrap();
    let took = start.elapsed();
    assert!(took >= 4_980 * MS && took <= 5_020 * MS, "{took:?}");
    let (_sender, sent) = writing.await.unwrap();
    assert!(sent >= 4_000 * MS, "the sender was done after {sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_lets_its_bytes_out_and_closes() {
    let mut rig = rig(64);
    rig.toxics
        .add(br#"{"type":"limit_data","attributes":{"bytes":10}}"#)
        .unwrap();
    rig.sender.write_all(b"0123456789abc").await.unwrap();
    let mut seen = Vec::new();
    rig.receiver.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, b"0123456789");
    assert_eq!(rig.task.await.unwrap(), Ended::Close);
}

#[tokio::test(start_paused = true)]
async fn a_slow_close_holds_the_half_close_back() {
    let mut rig = rig(64);
    rig.toxics
        .add(br#"{"type":"slow_close","attributes":{"delay":400}}"#)
        .unwrap();
    rig.sender.write_all(b"data").await.unwrap();
    rig.sender.shutdown().await.unwrap();
    let start = Instant::now();
    assert_eq!(rig.receive(4).await, b"data");
    assert!(start.elapsed() < 10 * MS);
    assert_eq!(rig.receiver.read(&mut [0; 4]).await.unwrap(), 0);
    let took = start.elapsed();
    assert!(took >= 400 * MS && took < 410 * MS, "{took:?}");
    assert_eq!(rig.task.await.unwrap(), Ended::HalfClosed);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_closes_even_an_idle_connection() {
    let rig = rig(64);
    rig.toxics_add(br#"{"type":"timeout","attributes":{"timeout":250}}"#)
        .await;
}

impl Rig {
    /// Adds a timeout and sees the pipe demand the close 250 ms later.
    async fn toxics_add(mut self, body: &[u8]) {
        self.toxics.add(body).unwrap();
        let start = Instant::now();
        assert_eq!(self.task.await.unwrap(), Ended::Close);
        let took = start.elapsed();
        assert!(took >= 250 * MS && took < 260 * MS, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_zero_swallows_until_it_is_removed() {
    let mut rig = rig(64);
    rig.toxics.add(br#"{"type":"timeout"}"#).unwrap();
    rig.sender.write_all(&[7; 1000]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!rig.task.is_finished());
    rig.toxics.clear();
    assert_eq!(rig.task.await.unwrap(), Ended::Close);
    let mut seen = Vec::new();
    rig.receiver.read_to_end(&mut seen).await.unwrap();
    assert!(seen.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reset_comes_at_its_time_even_if_the_receiver_reads_nothing() {
    let mut rig = rig(16);
    // The receiver's buffer is full and the pipe stuck in its write.
    rig.sender.write_all(&[1; 16]).await.unwrap();
    rig.sender.write_all(&[2; 16]).await.unwrap();
    tokio::time::sleep(MS).await;
    rig.toxics
        .add(br#"{"type":"reset_peer","attributes":{"timeout":300}}"#)
        .unwrap();
    let start = Instant::now();
    assert_eq!(rig.task.await.unwrap(), Ended::Reset);
    assert!(start.elapsed() >= 300 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_read_stops_the_sender() {
    let mut rig = rig(1024);
    let mut sent = 0;
    let block = [0; 1024];
    while tokio::time::timeout(MS, rig.sender.write_all(&block))
        .await
        .is_ok()
    {
        sent += block.len();
        assert!(sent < 1024 * 1024, "the pipe has no bound");
    }
    assert!(
        sent <= 4 * SMALL,
        "{sent} bytes went into a pipe that nobody reads"
    );
}

#[tokio::test(start_paused = true)]
async fn with_a_latency_too_the_sender_is_stopped() {
    let mut rig = rig(64 * 1024);
    rig.toxics
        .add(br#"{"type":"latency","attributes":{"latency":3600000}}"#)
        .unwrap();
    let block = vec![0; 64 * 1024];
    let mut sent = 0;
    while tokio::time::timeout(MS, rig.sender.write_all(&block))
        .await
        .is_ok()
    {
        sent += block.len();
        assert!(sent < 64 * 1024 * 1024, "the stage has no bound");
    }
    assert!(
        sent >= 4 * 1024 * 1024,
        "a link must carry some data at a time: {sent}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_close_does_not_wait_for_ever_for_a_receiver_that_does_not_read() {
    let mut rig = rig(16);
    rig.sender.write_all(&[1; 16]).await.unwrap();
    tokio::time::sleep(MS).await;
    rig.toxics.add(br#"{"type":"latency"}"#).unwrap();
    rig.toxics
        .add(br#"{"type":"timeout","name":"t","attributes":{"timeout":100}}"#)
        .unwrap();
    rig.sender.write_all(&[2; 16]).await.unwrap();
    let start = Instant::now();
    assert_eq!(rig.task.await.unwrap(), Ended::Close);
    assert!(start.elapsed() <= CLOSE_GRACE + 200 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_ends_the_direction() {
    let Rig {
        mut sender,
        receiver,
        task,
        ..
    } = rig(64);
    drop(receiver);
    sender.write_all(b"x").await.unwrap();
    assert_eq!(task.await.unwrap(), Ended::ReceiverGone);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Through the whole pipe, with toxics coming and going while it runs.
    #[test]
    fn bytes_survive_changes_between_the_fast_and_the_slow_path(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 1..30),
        pauses in prop::collection::vec(0..50_u64, 30),
        toxics_of in prop::collection::vec(prop::option::of(harmless()), 30),
        buffer in 1..5000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let expected = chunks.concat();
        let seen = runtime.block_on(async move {
            let Rig { mut sender, mut receiver, mut toxics, task, .. } = rig(buffer);
            let reading = tokio::spawn(async move {
                let mut seen = Vec::new();
                receiver.read_to_end(&mut seen).await.unwrap();
                seen
            });
            for ((chunk, pause), toxic) in chunks.iter().zip(pauses).zip(toxics_of) {
                toxics.clear();
                if let Some(body) = toxic {
                    toxics.add(body.as_bytes()).unwrap();
                }
                sender.write_all(chunk).await.unwrap();
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            sender.shutdown().await.unwrap();
            assert_eq!(task.await.unwrap(), Ended::HalfClosed);
            reading.await.unwrap()
        });
        prop_assert_eq!(seen, expected);
    }
}

/// Toxics that lose nothing.
fn harmless() -> impl Strategy<Value = String> {
    let pair = (0..80_u64, 0..80_u64);
    prop_oneof![
        pair.clone().prop_map(|(a, b)| format!(
            r#"{{"type":"latency","attributes":{{"latency":{a},"jitter":{b}}}}}"#
        )),
        (1..200_u64).prop_map(|a| format!(r#"{{"type":"bandwidth","attributes":{{"rate":{a}}}}}"#)),
        pair.prop_map(|(a, b)| format!(
            r#"{{"type":"slicer","attributes":{{"average_size":{a},"size_variation":{b},"delay":{b}}}}}"#
        )),
        (0..80_u64).prop_map(|a| format!(r#"{{"type":"slow_close","attributes":{{"delay":{a}}}}}"#)),
    ]
}
