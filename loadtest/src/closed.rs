//! Customers who wait: each sends, takes the answer, thinks, and sends again, never two at once.
//!
//! Their latency counts from when a request *did* start. There is no moment at which it *should*
//! have started, since a customer who waits puts off all that comes after: what a slow target does
//! shows as fewer requests instead. That is coordinated omission by design, and right only where
//! real callers behave so (a pool of workers, a fixed fleet of clients); for customers of a shop use
//! an open stream.

use std::time::Duration;

use crate::draw::{Draws, Purpose};
use crate::mix::{Mix, Op};

const CLOSED: u64 = 1 << 52;
const STREAM_BIT: u32 = 42;
const CUSTOMER_BIT: u32 = 24;
/// A customer who asks without a pause, a thousand times a second, gets through so many in hours.
const ROUNDS: u64 = 1 << CUSTOMER_BIT;

/// The number of the `round`-th request of a closed stream's customer: a pure function, above all
/// numbers of open arrivals and below 2⁵³, so that every reader of JSON keeps it.
#[must_use]
pub const fn closed_index(stream: usize, customer: usize, round: u64) -> u64 {
    let place = ((stream as u64) << STREAM_BIT) | ((customer as u64) << CUSTOMER_BIT);
    CLOSED | place | (round % ROUNDS)
}

/// What a customer of a closed stream does, one request after the other.
#[derive(Clone, Debug)]
pub(crate) struct Rounds {
    stream: usize,
    customer: usize,
    round: u64,
    draws: Draws,
}

impl Rounds {
    /// The customer's sequence, which depends on nothing but the arguments.
    pub(crate) fn new(seed: u64, stream: usize, customer: usize) -> Self {
        let index = closed_index(stream, customer, 0);
        Self {
            stream,
            customer,
            round: 0,
            draws: Draws::new(seed, Purpose::Rounds, index),
        }
    }

    /// When the customer begins: somewhere in the first `think`, so that they don't come in step.
    pub(crate) fn begins(&mut self, think: Duration) -> Duration {
        think.mul_f64(self.draws.unit())
    }

    /// The next request's number and operation.
    pub(crate) fn next(&mut self, mix: &Mix) -> (u64, Op) {
        let index = closed_index(self.stream, self.customer, self.round);
        self.round += 1;
        (index, mix.pick(self.draws.unit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::stream::Stream;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_unique_and_kept_by_every_reader(
            a in (0..Plan::MAX_STREAMS, 0..Stream::MAX_CUSTOMERS, 0..ROUNDS),
            b in (0..Plan::MAX_STREAMS, 0..Stream::MAX_CUSTOMERS, 0..ROUNDS),
        ) {
            let index = |(stream, customer, round)| closed_index(stream, customer, round);
            prop_assert_eq!(index(a) == index(b), a == b);
            prop_assert!(index(a) < 1 << 53 && index(a) >= CLOSED);
        }
    }

    #[test]
    fn a_customers_sequence_is_its_own_and_repeats() {
        let mix = Mix::named("shopping").unwrap();
        let of = |seed, customer| {
            let mut rounds = Rounds::new(seed, 1, customer);
            let begins = rounds.begins(Duration::from_secs(1));
            assert!(begins < Duration::from_secs(1));
            let ops: Vec<_> = (0..50).map(|_| rounds.next(&mix)).collect();
            (begins, ops)
        };
        assert_eq!(of(7, 3), of(7, 3));
        assert_ne!(of(7, 3).0, of(7, 4).0);
        let ops = |made: (Duration, Vec<(u64, Op)>)| -> Vec<Op> {
            made.1.into_iter().map(|(_, op)| op).collect()
        };
        assert_ne!(ops(of(7, 3)), ops(of(7, 4)));
        assert_ne!(ops(of(7, 3)), ops(of(8, 3)));
    }
}
