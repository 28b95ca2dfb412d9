use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::toxics::Toxics;

fn chunk(data: &[u8], at: Instant) -> Piece {
    Piece::Chunk(Chunk {
        data: Bytes::copy_from_slice(data),
        at,
    })
}

fn list_of(toxics: &Toxics) -> crate::toxics::ToxicList {
    toxics.watch().borrow().clone()
}

/// Writes everything that waits.
fn written(chain: &mut Chain, into: &mut Vec<u8>) {
    while !chain.front().is_empty() {
        into.extend_from_slice(chain.front());
        chain.written(chain.front().len());
    }
}

fn chain() -> Chain {
    Chain::new(Direction::Downstream, Draws::of(1))
}

#[tokio::test(start_paused = true)]
async fn two_latencies_add_up_and_chunks_do_not() {
    let start = Instant::now();
    let mut toxics = Toxics::quiet();
    toxics
        .add(br#"{"type":"latency","name":"a","attributes":{"latency":100}}"#)
        .unwrap();
    toxics
        .add(br#"{"type":"latency","name":"b","attributes":{"latency":50}}"#)
        .unwrap();
    let mut chain = chain();
    chain.reconcile(&list_of(&toxics), start);
    for _ in 0..10 {
        chain.push(chunk(b"x", start), start);
    }
    let ms = |n| start + Duration::from_millis(n);
    assert_eq!(chain.advance(start), Some(ms(100)));
    assert_eq!(chain.advance(ms(100)), Some(ms(150)));
    assert_eq!(chain.advance(ms(150)), None);
    let mut seen = Vec::new();
    written(&mut chain, &mut seen);
    assert_eq!(seen.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn toxics_of_the_other_direction_and_of_no_toxicity_leave_it_plain() {
    let start = Instant::now();
    let mut toxics = Toxics::quiet();
    toxics
        .add(br#"{"type":"latency","stream":"upstream"}"#)
        .unwrap();
    toxics.add(br#"{"type":"timeout","toxicity":0}"#).unwrap();
    let mut chain = chain();
    chain.reconcile(&list_of(&toxics), start);
    assert!(chain.is_plain());
    // Removing a toxic that never acted must not close the connection.
    toxics.clear();
    chain.reconcile(&list_of(&toxics), start);
    assert!(chain.is_plain());
    assert_eq!(chain.end(), None);
}

#[tokio::test(start_paused = true)]
async fn a_removed_timeout_closes_what_it_acted_on() {
    let start = Instant::now();
    let mut toxics = Toxics::quiet();
    toxics.add(br#"{"type":"timeout"}"#).unwrap();
    let mut chain = chain();
    chain.reconcile(&list_of(&toxics), start);
    chain.push(chunk(b"lost", start), start);
    toxics.clear();
    chain.reconcile(&list_of(&toxics), start);
    assert_eq!(chain.end(), Some(End::Close));
    assert!(!chain.wants_input());
    assert!(chain.front().is_empty());
}

#[tokio::test(start_paused = true)]
async fn toxicity_changes_act_on_a_live_connection() {
    let start = Instant::now();
    let mut toxics = Toxics::quiet();
    toxics
        .add(br#"{"type":"latency","attributes":{"latency":10},"toxicity":0}"#)
        .unwrap();
    let mut chain = chain();
    chain.reconcile(&list_of(&toxics), start);
    assert!(chain.is_plain());
    toxics
        .update("latency_downstream", br#"{"toxicity":1}"#)
        .unwrap();
    chain.reconcile(&list_of(&toxics), start);
    assert!(!chain.is_plain());
    chain.push(chunk(b"x", start), start);
    toxics
        .update("latency_downstream", br#"{"toxicity":0}"#)
        .unwrap();
    chain.reconcile(&list_of(&toxics), start);
    assert_eq!(chain.front(), b"x");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_stays_bounded_while_toxics_come_and_go() {
    let start = Instant::now();
    let mut chain = chain();
    let mut toxics = Toxics::quiet();
    let block = vec![0; 64 * 1024];
    for _ in 0..20 {
        toxics
            .add(br#"{"type":"latency","attributes":{"latency":1000000}}"#)
            .unwrap();
        chain.reconcile(&list_of(&toxics), start);
        while chain.wants_input() {
            chain.push(chunk(&block, start), start);
        }
        toxics.clear();
        chain.reconcile(&list_of(&toxics), start);
    }
    assert!(
        chain.held() <= CAPACITY + block.len() + 64,
        "{}",
        chain.held()
    );
}

/// What a toxic named `n` acted on: connections, chunks, bytes.
fn acted(toxics: &Toxics) -> (u64, u64, u64) {
    let acted = &toxics.acted()["n"];
    (acted.connections, acted.chunks, acted.bytes)
}

#[tokio::test(start_paused = true)]
async fn what_a_toxic_acts_on_is_counted() {
    let start = Instant::now();
    let later = start + Duration::from_secs(1);
    for (toxic, on_data, on_end) in [
        (r#""type":"latency""#, (1, 2, 4), (1, 2, 4)),
        (r#""type":"latency","toxicity":0"#, (0, 0, 0), (0, 0, 0)),
        (
            r#""type":"bandwidth","attributes":{"rate":1}"#,
            (1, 2, 4),
            (1, 2, 4),
        ),
        (r#""type":"slicer""#, (1, 2, 4), (1, 2, 4)),
        (r#""type":"timeout""#, (1, 2, 4), (1, 2, 4)),
        (r#""type":"slow_close""#, (0, 0, 0), (1, 0, 0)),
        (
            r#""type":"limit_data","attributes":{"bytes":9}"#,
            (0, 0, 0),
            (0, 0, 0),
        ),
        (
            r#""type":"limit_data","attributes":{"bytes":3}"#,
            (1, 0, 0),
            (1, 0, 0),
        ),
        (
            r#""type":"reset_peer","attributes":{"timeout":5000}"#,
            (0, 0, 0),
            (0, 0, 0),
        ),
        (
            r#""type":"reset_peer","attributes":{"timeout":500}"#,
            (1, 0, 0),
            (1, 0, 0),
        ),
    ] {
        let mut toxics = Toxics::quiet();
        toxics
            .add(format!(r#"{{"name":"n",{toxic}}}"#).as_bytes())
            .unwrap();
        let mut chain = chain();
        chain.reconcile(&list_of(&toxics), start);
        chain.push(chunk(b"ab", start), start);
        chain.push(chunk(b"cd", start), start);
        chain.advance(start);
        chain.advance(later);
        assert_eq!(acted(&toxics), on_data, "{toxic}");
        chain.push(Piece::End(End::HalfClose), later);
        chain.advance(later);
        assert_eq!(acted(&toxics), on_end, "{toxic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_slices_waits_for_the_receiver() {
    let start = Instant::now();
    let mut toxics = Toxics::quiet();
    toxics
        .add(br#"{"type":"slicer","attributes":{"average_size":1}}"#)
        .unwrap();
    let mut chain = chain();
    chain.reconcile(&list_of(&toxics), start);
    chain.push(chunk(&[1; 100_000], start), start);
    chain.advance(start);
    assert_eq!(chain.out.len(), OUT_PIECES);
    let mut seen = Vec::new();
    while !chain.front().is_empty() {
        written(&mut chain, &mut seen);
        chain.advance(start);
    }
    assert_eq!(seen, [1; 100_000]);
}

/// What can happen to a chain, in any order.
#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    Wait(u16),
    Write,
    /// A toxic: all of its JSON but the name.
    Add(String),
    /// Changes to whatever the toxic has of these.
    Update(usize, String),
    Remove(usize),
}

/// Toxics that may delay and cut up, but lose nothing.
fn harmless() -> impl Strategy<Value = String> {
    let number =
        |name: &'static str, max: u32| (0..max).prop_map(move |n| format!(r#""{name}":{n}"#));
    let latency = (number("latency", 300), number("jitter", 300));
    let slicer = (
        number("average_size", 50),
        number("size_variation", 60),
        number("delay", 9_000),
    );
    prop_oneof![
        latency.prop_map(|(a, b)| toxic("latency", &format!("{a},{b}"))),
        number("rate", 40).prop_map(|a| toxic("bandwidth", &a)),
        slicer.prop_map(|(a, b, c)| toxic("slicer", &format!("{a},{b},{c}"))),
        number("delay", 500).prop_map(|a| toxic("slow_close", &a)),
        Just(toxic("noop", "")),
    ]
}

/// Toxics that cut the stream off.
fn cutting() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..300_u16).prop_map(|n| toxic("reset_peer", &format!(r#""timeout":{n}"#))),
        (0..300_u16).prop_map(|n| toxic("timeout", &format!(r#""timeout":{n}"#))),
        (0..2_000_u16).prop_map(|n| toxic("limit_data", &format!(r#""bytes":{n}"#))),
    ]
}

fn toxic(kind: &str, attributes: &str) -> String {
    format!(r#""type":"{kind}","attributes":{{{attributes}}}"#)
}

fn toxicity() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.0_f32), Just(0.5), Just(1.0)]
}

fn update() -> impl Strategy<Value = String> {
    (toxicity(), 0..300_u16, 0..40_u16, 0..50_u16).prop_map(|(toxicity, time, rate, size)| {
        format!(
            r#"{{"toxicity":{toxicity},"attributes":{{"latency":{time},"delay":{time},"timeout":{time},"rate":{rate},"average_size":{size},"bytes":{time}}}}}"#
        )
    })
}

fn steps(toxics: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Vec<Step>> {
    let added =
        (toxics, toxicity()).prop_map(|(rest, t)| Step::Add(format!(r#"{rest},"toxicity":{t}"#)));
    let step = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..200).prop_map(Step::Push),
        3 => (0..500_u16).prop_map(Step::Wait),
        2 => Just(Step::Write),
        3 => added,
        1 => (0..4_usize, update()).prop_map(|(index, body)| Step::Update(index, body)),
        2 => (0..4_usize).prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 1..60)
}

/// Drives a chain and remembers what went in and what came out.
struct Run {
    chain: Chain,
    toxics: Toxics,
    names: Vec<String>,
    added: usize,
    now: Instant,
    sent: Vec<u8>,
    seen: Vec<u8>,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            chain: Chain::new(Direction::Downstream, Draws::of(seed)),
            toxics: Toxics::quiet(),
            names: Vec::new(),
            added: 0,
            now: Instant::now(),
            sent: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Push(data) if self.chain.wants_input() => {
                self.chain.push(chunk(&data, self.now), self.now);
                self.sent.extend(data);
            }
            Step::Push(_) => {}
            Step::Wait(ms) => self.now += Duration::from_millis(ms.into()),
            Step::Write => written(&mut self.chain, &mut self.seen),
            Step::Add(rest) => {
                self.added += 1;
                let name = format!("t{}", self.added);
                let body = format!(r#"{{"name":"{name}",{rest}}}"#);
                self.toxics.add(body.as_bytes()).unwrap();
                self.names.push(name);
            }
            Step::Update(index, body) => {
                if let Some(name) = self.names.get(index) {
                    self.toxics.update(name, body.as_bytes()).unwrap();
                }
            }
            Step::Remove(index) => {
                if index < self.names.len() {
                    self.toxics.remove(&self.names.remove(index)).unwrap();
                }
            }
        }
        self.chain.reconcile(&list_of(&self.toxics), self.now);
        self.chain.advance(self.now);
    }

    /// Removes what is set, and ends the stream.
    fn finish(&mut self) -> Option<End> {
        self.toxics.clear();
        self.chain.reconcile(&list_of(&self.toxics), self.now);
        if self.chain.end().is_none() {
            self.chain.push(Piece::End(End::HalfClose), self.now);
        }
        self.chain.advance(self.now);
        written(&mut self.chain, &mut self.seen);
        self.chain.end()
    }
}

proptest! {
    /// Whatever the chunking, the toxics and their changes: what comes out is
    /// what went in, all of it and in order. Nothing is left behind in toxics
    /// that wait when they are removed.
    #[test]
    fn no_byte_is_lost_reordered_or_repeated(steps in steps(harmless()), seed in any::<u64>()) {
        let mut run = Run::new(seed);
        for step in steps {
            run.apply(step);
            prop_assert!(run.sent.starts_with(&run.seen));
        }
        prop_assert_eq!(run.finish(), Some(End::HalfClose));
        prop_assert_eq!(run.sent, run.seen);
        prop_assert_eq!(run.chain.held(), 0);
    }

    /// With toxics among them that cut the stream off: what comes out is the
    /// beginning of what went in, and the receiver learns of what is missing.
    #[test]
    fn what_is_cut_off_has_no_hole(
        steps in steps(prop_oneof![harmless(), cutting()]),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(seed);
        for step in steps {
            run.apply(step);
            prop_assert!(run.sent.starts_with(&run.seen));
        }
        let end = run.finish();
        prop_assert!(run.sent.starts_with(&run.seen));
        if end == Some(End::HalfClose) {
            prop_assert_eq!(run.sent, run.seen);
            prop_assert_eq!(run.chain.held(), 0);
        } else {
            prop_assert!(matches!(end, Some(End::Close | End::Reset)));
        }
    }

    /// Left alone, a chain lets everything out by the time of its longest delay.
    #[test]
    fn everything_is_out_when_its_time_has_come(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..100), 1..20),
        latency in 0..1000_u64,
        jitter in 0..1000_u64,
    ) {
        let start = Instant::now();
        let mut toxics = Toxics::quiet();
        let body = format!(
            r#"{{"type":"latency","attributes":{{"latency":{latency},"jitter":{jitter}}}}}"#
        );
        toxics.add(body.as_bytes()).unwrap();
        let mut chain = Chain::new(Direction::Downstream, Draws::of(3));
        chain.reconcile(&list_of(&toxics), start);
        for data in &chunks {
            chain.push(chunk(data, start), start);
        }
        chain.push(Piece::End(End::HalfClose), start);
        chain.advance(start + Duration::from_millis(latency + jitter));
        let mut seen = Vec::new();
        written(&mut chain, &mut seen);
        prop_assert_eq!(seen, chunks.concat());
        prop_assert_eq!(chain.end(), Some(End::HalfClose));
    }
}
