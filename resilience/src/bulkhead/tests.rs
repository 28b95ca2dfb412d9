use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn bulkhead(max_concurrent: u32, max_waiting: u32, max_wait_ms: u64) -> Bulkhead {
    Bulkhead::new(BulkheadConfig {
        max_concurrent,
        max_waiting,
        max_wait: MS(max_wait_ms),
    })
}

type Acquiring = Pin<Box<dyn Future<Output = Result<BulkheadPermit, Full>>>>;

fn acquiring(bulkhead: &Bulkhead, deadline: Deadline) -> Acquiring {
    let bulkhead = bulkhead.clone();
    // Polled by hand and often, so tokio's own idea of who had his turn would only disturb.
    Box::pin(tokio::task::unconstrained(async move {
        bulkhead.acquire(deadline).await
    }))
}

fn poll(acquiring: &mut Acquiring) -> Option<Result<BulkheadPermit, Full>> {
    match acquiring
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_and_a_long_wait_in_its_time() {
    let bulkhead = bulkhead(1, 1, 50);
    let _held = bulkhead.acquire(Deadline::NONE).await.unwrap();
    let mut waits = acquiring(&bulkhead, Deadline::NONE);
    assert!(poll(&mut waits).is_none());
    assert_eq!((bulkhead.inflight(), bulkhead.waiting()), (1, 1));
    let before = Instant::now();
    let refused = bulkhead.acquire(Deadline::NONE).await;
    assert_eq!(refused.unwrap_err(), Full::Queue);
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(waits.await.unwrap_err(), Full::Wait);
    assert_eq!(before.elapsed(), MS(50));
    assert_eq!((bulkhead.inflight(), bulkhead.waiting()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_past_the_deadline() {
    let bulkhead = bulkhead(1, 5, 50);
    let held = bulkhead.acquire(Deadline::NONE).await.unwrap();
    let before = Instant::now();
    let refused = bulkhead.acquire(Deadline::from_millis(20)).await;
    assert_eq!(refused.unwrap_err(), Full::Wait);
    assert_eq!(before.elapsed(), MS(20));
    let expired = Deadline::at(Instant::now());
    assert_eq!(bulkhead.acquire(expired).await.unwrap_err(), Full::Wait);
    assert_eq!(before.elapsed(), MS(20), "nothing to wait for");
    drop(held);
    assert!(
        bulkhead.acquire(expired).await.is_ok(),
        "a free place needs no wait"
    );
}

#[tokio::test(start_paused = true)]
async fn places_go_to_the_longest_waiting() {
    let bulkhead = bulkhead(1, 11, 1_000);
    let mut held = bulkhead.acquire(Deadline::NONE).await.ok();
    let mut queue: Vec<_> = (0..10)
        .map(|_| acquiring(&bulkhead, Deadline::NONE))
        .collect();
    for waits in &mut queue {
        assert!(poll(waits).is_none());
    }
    // Newcomers find no place either, not even one that is on its way to a waiter.
    for next in 0..10 {
        held.take();
        let mut newcomer = acquiring(&bulkhead, Deadline::NONE);
        assert!(poll(&mut newcomer).is_none());
        for later in (next + 1..10).rev() {
            assert!(poll(&mut queue[later]).is_none(), "{later} before {next}");
        }
        held = poll(&mut queue[next]).unwrap().ok();
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_takes_nothing_along() {
    let bulkhead = bulkhead(1, 3, 1_000);
    let held = bulkhead.acquire(Deadline::NONE).await.unwrap();
    let [mut first, mut second, mut third] = [(); 3].map(|()| acquiring(&bulkhead, Deadline::NONE));
    for waits in [&mut first, &mut second, &mut third] {
        assert!(poll(waits).is_none());
    }
    drop(second);
    assert_eq!(bulkhead.waiting(), 2);
    drop(held);
    assert_eq!(bulkhead.inflight(), 1, "handed to the first");
    drop(first);
    let permit = poll(&mut third).unwrap().unwrap();
    assert_eq!((bulkhead.inflight(), bulkhead.waiting()), (1, 0));
    drop(permit);
    assert_eq!(bulkhead.inflight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_holds_its_place_while_it_runs_and_no_longer() {
    let bulkhead = bulkhead(1, 0, 0);
    let inner = bulkhead.clone();
    let fails = bulkhead.call(Deadline::NONE, || async {
        assert_eq!(inner.inflight(), 1);
        let refused = inner.call(Deadline::NONE, || async { Ok::<(), ()>(()) });
        assert_eq!(refused.await, Err(BulkheadError::Full(Full::Queue)));
        Err::<(), _>("broken")
    });
    assert_eq!(fails.await, Err(BulkheadError::Failed("broken")));
    let hangs = bulkhead.call(Deadline::NONE, std::future::pending::<Result<(), ()>>);
    assert!(tokio::time::timeout(MS(10), hangs).await.is_err());
    assert_eq!(bulkhead.inflight(), 0);
}

#[tokio::test(start_paused = true)]
async fn senseless_figures_do_no_harm() {
    let one = bulkhead(0, 0, 0);
    let held = one.acquire(Deadline::NONE).await;
    assert!(held.is_ok());
    assert_eq!(one.acquire(Deadline::NONE).await.unwrap_err(), Full::Queue);
    let vast = Bulkhead::new(BulkheadConfig {
        max_concurrent: u32::MAX,
        max_waiting: u32::MAX,
        max_wait: Duration::MAX,
    });
    let _held = vast.acquire(Deadline::NONE).await.unwrap();
    assert_eq!(vast.inflight(), 1);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    Release(usize),
    Cancel(usize),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Acquire),
        3 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => (1u64..30).prop_map(Step::Advance),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The model: who waits, since when, in order.
struct World {
    bulkhead: Bulkhead,
    limits: (u32, u32, u64),
    held: Vec<BulkheadPermit>,
    queue: VecDeque<(Acquiring, u64)>,
    now: u64,
}

impl World {
    fn new(limits: (u32, u32, u64)) -> Self {
        let (max_concurrent, max_waiting, max_wait) = limits;
        Self {
            bulkhead: bulkhead(max_concurrent, max_waiting, max_wait),
            limits,
            held: vec![],
            queue: VecDeque::new(),
            now: 0,
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Acquire => self.acquire(),
            Step::Release(i) if !self.held.is_empty() => {
                drop(self.held.swap_remove(i % self.held.len()));
            }
            Step::Cancel(i) if !self.queue.is_empty() => {
                self.queue.remove(i % self.queue.len());
            }
            Step::Advance(ms) => {
                self.now += ms;
                tokio::time::advance(MS(ms)).await;
            }
            Step::Release(_) | Step::Cancel(_) => {}
        }
        self.settle();
        self.check();
    }

    fn acquire(&mut self) {
        let (max_concurrent, max_waiting, _) = self.limits;
        let mut acquiring = acquiring(&self.bulkhead, Deadline::NONE);
        match poll(&mut acquiring) {
            Some(Ok(permit)) => {
                assert!(self.queue.is_empty(), "past those who wait");
                self.held.push(permit);
            }
            Some(Err(full)) => {
                assert_eq!(full, Full::Queue);
                assert_eq!(self.held.len(), max_concurrent as usize);
                assert_eq!(self.queue.len(), max_waiting as usize);
            }
            None => self.queue.push_back((acquiring, self.now)),
        }
    }

    /// Polls all who wait, the latest first, so that order is the queue's doing and not ours.
    fn settle(&mut self) {
        let free = self.limits.0 as usize - self.held.len();
        let mut served = vec![];
        for place in (0..self.queue.len()).rev() {
            let (acquiring, since) = &mut self.queue[place];
            let due = self.now - *since >= self.limits.2;
            match poll(acquiring) {
                Some(Ok(permit)) => {
                    assert!(place < free, "out of turn");
                    self.held.push(permit);
                    served.push(place);
                }
                Some(Err(full)) => {
                    assert!(due && full == Full::Wait);
                    served.push(place);
                }
                None => assert!(!due && place >= free, "left waiting"),
            }
        }
        for place in served {
            self.queue.remove(place);
        }
    }

    fn check(&self) {
        let (max_concurrent, max_waiting, _) = self.limits;
        assert_eq!(self.bulkhead.inflight() as usize, self.held.len());
        assert_eq!(self.bulkhead.waiting() as usize, self.queue.len());
        assert!(self.bulkhead.inflight() <= max_concurrent);
        assert!(self.bulkhead.waiting() <= max_waiting);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn places_are_never_exceeded_never_lost_and_never_out_of_turn(
        limits in (1u32..4, 0u32..5, 1u64..60),
        steps in steps(),
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(async {
                let mut world = World::new(limits);
                for step in steps {
                    world.step(step).await;
                }
                world.queue.clear();
                world.held.clear();
                world.check();
            });
    }
}
