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
    Chain::new(Direction::Downstream, Seed::new(1))
}

#[tokio::test(start_paused = true)]
async fn two_latencies_add_up_and_chunks_do_not() {
    let start = Instant::now();
    let mut toxics = Toxics::new();
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
    let mut toxics = Toxics::new();
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
    let mut toxics = Toxics::new();
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
    let mut toxics = Toxics::new();
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
    let mut toxics = Toxics::new();
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

/// What can happen to a chain, in any order.
#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    Wait(u16),
    Write,
    Add {
        latency: u16,
        jitter: u16,
        toxicity: f32,
    },
    AddReset {
        timeout: u16,
    },
    Update {
        index: usize,
        latency: u16,
        toxicity: f32,
    },
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let toxicity = prop_oneof![Just(0.0_f32), Just(0.5), Just(1.0)];
    let step = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..200).prop_map(Step::Push),
        3 => (0..500_u16).prop_map(Step::Wait),
        2 => Just(Step::Write),
        2 => (0..300_u16, 0..300_u16, toxicity.clone())
            .prop_map(|(latency, jitter, toxicity)| Step::Add { latency, jitter, toxicity }),
        1 => (1..300_u16).prop_map(|timeout| Step::AddReset { timeout }),
        1 => (0..4_usize, 0..300_u16, toxicity)
            .prop_map(|(index, latency, toxicity)| Step::Update { index, latency, toxicity }),
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
    fn apply(&mut self, step: Step) {
        match step {
            Step::Push(data) if self.chain.wants_input() => {
                self.chain.push(chunk(&data, self.now), self.now);
                self.sent.extend(data);
            }
            Step::Push(_) => {}
            Step::Wait(ms) => self.now += Duration::from_millis(ms.into()),
            Step::Write => written(&mut self.chain, &mut self.seen),
            Step::Add { latency, jitter, toxicity } => self.add(&format!(
                r#""type":"latency","toxicity":{toxicity},"attributes":{{"latency":{latency},"jitter":{jitter}}}"#
            )),
            Step::AddReset { timeout } => {
                self.add(&format!(r#""type":"reset_peer","attributes":{{"timeout":{timeout}}}"#));
            }
            Step::Update { index, latency, toxicity } => {
                if let Some(name) = self.names.get(index) {
                    let body =
                        format!(r#"{{"toxicity":{toxicity},"attributes":{{"latency":{latency}}}}}"#);
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

    fn add(&mut self, rest: &str) {
        self.added += 1;
        let name = format!("t{}", self.added);
        self.toxics
            .add(format!(r#"{{"name":"{name}",{rest}}}"#).as_bytes())
            .unwrap();
        self.names.push(name);
    }
}

proptest! {
    /// Whatever the chunking, the toxics and their changes: what comes out is
    /// what went in, in order; and all of it, unless a reset cut it off.
    #[test]
    fn no_byte_is_lost_or_reordered(steps in steps(), seed in any::<u64>()) {
        let mut run = Run {
            chain: Chain::new(Direction::Downstream, Seed::new(seed)),
            toxics: Toxics::new(),
            names: Vec::new(),
            added: 0,
            now: Instant::now(),
            sent: Vec::new(),
            seen: Vec::new(),
        };
        for step in steps {
            run.apply(step);
            prop_assert!(run.sent.starts_with(&run.seen));
        }
        let cut_off = run.chain.end() == Some(End::Reset);
        // Toxics that wait are removed: nothing may be left behind in them.
        run.toxics.clear();
        run.chain.reconcile(&list_of(&run.toxics), run.now);
        if run.chain.end().is_none() {
            run.chain.push(Piece::End(End::HalfClose), run.now);
        }
        run.chain.advance(run.now);
        written(&mut run.chain, &mut run.seen);
        prop_assert!(run.sent.starts_with(&run.seen));
        if !cut_off && run.chain.end() == Some(End::HalfClose) {
            prop_assert_eq!(run.sent, run.seen);
            prop_assert_eq!(run.chain.held(), 0);
        } else {
            prop_assert_eq!(run.chain.end(), Some(End::Reset));
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
        let mut toxics = Toxics::new();
        let body = format!(
            r#"{{"type":"latency","attributes":{{"latency":{latency},"jitter":{jitter}}}}}"#
        );
        toxics.add(body.as_bytes()).unwrap();
        let mut chain = Chain::new(Direction::Downstream, Seed::new(3));
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
