//! Any interleaving of what may happen at a door, and a door polled by hand.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use resilience::server::{
    Admission, Arrival, End, QueueConfig, ServerSlot, Shed, ShedConfig, ShedReason,
};
use resilience::{Deadline, Priority};

use super::{MS, arrival};

#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Somebody comes, with so many milliseconds left.
    Arrive(Priority, Option<u64>),
    /// The nth of those let in ends.
    Finish(usize, End),
    /// The nth of those let in is dropped.
    Drop(usize),
    /// The nth of those who wait goes.
    Cancel(usize),
    /// The nth of those who wait is polled. (In the model's test all are, after each step.)
    Poll(usize),
    Advance(u64),
    /// The policy is swapped for itself.
    Swap,
}

pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let level = prop::sample::select(&Priority::ALL[..]);
    let end = prop::sample::select(vec![End::Ok, End::Ok, End::Overloaded, End::Ignore]);
    let op = prop_oneof![
        8 => (level, prop::option::weighted(0.3, 0u64..40)).prop_map(|(level, left)| Op::Arrive(level, left)),
        4 => (any::<usize>(), end).prop_map(|(n, end)| Op::Finish(n, end)),
        1 => any::<usize>().prop_map(Op::Drop),
        1 => any::<usize>().prop_map(Op::Cancel),
        2 => any::<usize>().prop_map(Op::Poll),
        3 => (1u64..25).prop_map(Op::Advance),
        1 => Just(Op::Swap),
    ];
    prop::collection::vec(op, 1..80)
}

pub fn queues() -> impl Strategy<Value = Option<QueueConfig>> {
    let queue = (0u32..6, 1u64..50).prop_map(|(max_waiting, max_wait)| QueueConfig {
        max_waiting,
        max_wait: MS(max_wait),
        codel: None,
    });
    prop::option::weighted(0.9, queue)
}

pub fn shares() -> impl Strategy<Value = Option<ShedConfig>> {
    // Quarters, in order, so that the model can count with whole numbers.
    let shares = prop::collection::vec(0u8..=4, 4).prop_map(|mut quarters| {
        quarters.sort_unstable();
        let share = |n: usize| f64::from(quarters[n]) / 4.0;
        ShedConfig {
            sheddable: share(0),
            sheddable_plus: share(1),
            critical: share(2),
            critical_plus: share(3),
        }
    });
    prop::option::weighted(0.5, shares)
}

pub type Waiting = Pin<Box<dyn Future<Output = Result<Admission, Shed>>>>;

/// The real door, polled by hand, so that nothing happens between two steps.
pub struct Real {
    pub door: ServerSlot,
    pub waiting: Vec<(usize, Waiting)>,
    pub inside: Vec<(usize, Admission)>,
    pub refused: Vec<(usize, ShedReason)>,
}

impl Real {
    pub fn new(door: ServerSlot) -> Self {
        Self {
            door,
            waiting: Vec::new(),
            inside: Vec::new(),
            refused: Vec::new(),
        }
    }

    pub fn arrive(&mut self, id: usize, priority: Priority, left: Option<u64>) {
        let door = self.door.clone();
        let arrival = Arrival {
            priority,
            deadline: left.map_or(Deadline::NONE, Deadline::from_millis),
            ..arrival("r")
        };
        let future: Waiting = Box::pin(async move { door.admit(arrival).await });
        self.waiting.push((id, future));
        self.poll(self.waiting.len() - 1);
    }

    /// Whether the `n`th got his answer.
    pub fn poll(&mut self, n: usize) -> bool {
        let (id, future) = &mut self.waiting[n];
        let id = *id;
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Pending => return false,
            Poll::Ready(Ok(admission)) => self.inside.push((id, admission)),
            Poll::Ready(Err(shed)) => self.refused.push((id, shed.reason)),
        }
        drop(self.waiting.remove(n));
        true
    }

    pub fn poll_all(&mut self) {
        let mut n = 0;
        while n < self.waiting.len() {
            if !self.poll(n) {
                n += 1;
            }
        }
    }
}

pub fn paused<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(body)
}
