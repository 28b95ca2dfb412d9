//! Those who wait at the door: by level, and within a level in the order in which they came.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use crate::priority::Priority;

#[derive(Debug)]
pub(super) struct Queue<T> {
    levels: [VecDeque<Waiter<T>>; Priority::ALL.len()],
    /// The number of the next to come. Numbers rise along each level, so that a waiter who leaves
    /// is found by halving.
    next: u64,
    /// Since when it has not been empty.
    stands_since: Option<Instant>,
}

#[derive(Debug)]
struct Waiter<T> {
    number: u64,
    until: Option<Instant>,
    ticket: T,
}

/// Where somebody stands, good for leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    level: Priority,
    number: u64,
}

/// Somebody taken from the head of the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    InTime(T),
    /// The time was up; its own timer has only not said so yet.
    Late(T),
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            levels: std::array::from_fn(|_| VecDeque::new()),
            next: 0,
            stands_since: None,
        }
    }

    pub(super) fn len(&self) -> u32 {
        let len = self.levels.iter().map(VecDeque::len).sum::<usize>();
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// For how long it has not been empty.
    pub(super) fn standing(&self, now: Instant) -> Duration {
        self.stands_since
            .map(|since| now.saturating_duration_since(since))
            .unwrap_or_default()
    }

    pub(super) fn push(
        &mut self,
        level: Priority,
        until: Option<Instant>,
        ticket: T,
        now: Instant,
    ) -> Place {
        let number = self.next;
        self.next += 1;
        self.stands_since.get_or_insert(now);
        self.levels[level as usize].push_back(Waiter {
            number,
            until,
            ticket,
        });
        Place { level, number }
    }

    /// Takes out whoever stands at `place`; `None` when nobody does any more.
    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        let level = &mut self.levels[place.level as usize];
        let at = level
            .binary_search_by_key(&place.number, |waiter| waiter.number)
            .ok()?;
        let waiter = level.remove(at)?;
        self.note_empty();
        Some(waiter.ticket)
    }

    /// The highest level that anybody waits at.
    pub(super) fn highest(&self) -> Option<Priority> {
        let waits = |level: &Priority| !self.levels[*level as usize].is_empty();
        Priority::ALL.into_iter().rev().find(waits)
    }

    /// Takes out the first at `level`.
    pub(super) fn pop(&mut self, level: Priority, now: Instant) -> Option<Next<T>> {
        let waiter = self.levels[level as usize].pop_front()?;
        self.note_empty();
        Some(if waiter.until.is_some_and(|until| until <= now) {
            Next::Late(waiter.ticket)
        } else {
            Next::InTime(waiter.ticket)
        })
    }

    /// Takes out the newest of the lowest level, if that lies below `level`. The newest, since it
    /// has invested the least and would have been served last.
    pub(super) fn displace(&mut self, level: Priority) -> Option<T> {
        let lowest = Priority::ALL
            .into_iter()
            .take_while(|lower| *lower < level)
            .find(|lower| !self.levels[*lower as usize].is_empty())?;
        // Somebody of a higher level follows at once, so the queue doesn't get empty by this.
        let waiter = self.levels[lowest as usize].pop_back()?;
        Some(waiter.ticket)
    }

    fn note_empty(&mut self) {
        if self.levels.iter().all(VecDeque::is_empty) {
            self.stands_since = None;
        }
    }
}
