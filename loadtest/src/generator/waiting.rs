//! Customers of closed streams: they wait for their answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Generator;
use crate::clock;
use crate::closed::Rounds;
use crate::mix::Mix;
use crate::schedule::Arrival;

/// A customer of a closed stream.
pub(super) struct Waiting {
    pub(super) generator: Arc<Generator>,
    pub(super) mix: Arc<Mix>,
    pub(super) rounds: Rounds,
    pub(super) stream: usize,
    pub(super) customer: usize,
    pub(super) think: Duration,
    pub(super) end_ns: u64,
}

impl Waiting {
    /// Sends, waits for the answer, thinks, and sends again, until the plan's end.
    pub(super) async fn live(mut self) {
        let start_ns = self.generator.start_ns;
        let mut due_ns = start_ns + clock::as_ns(self.rounds.begins(self.think));
        while due_ns < self.end_ns {
            let ready = async {
                tokio::time::sleep_until(clock::instant_at(due_ns)).await;
                Arc::clone(&self.generator.room).acquire_owned().await
            };
            let permit = tokio::select! {
                biased;
                () = self.generator.stop.cancelled() => return,
                permit = ready => permit,
            };
            // The semaphore is never closed.
            let Ok(permit) = permit else { return };
            let (index, op) = self.rounds.next(&self.mix);
            let arrival = Arrival {
                index,
                stream: self.stream,
                at: Duration::from_nanos(due_ns - start_ns),
                op,
                customer: Some(self.customer),
            };
            let counts = &self.generator.counts;
            counts.planned.fetch_add(1, Ordering::Relaxed);
            // On the heap, so that a customer who thinks takes little room.
            Box::pin(Arc::clone(&self.generator).one(arrival, permit)).await;
            due_ns = clock::now_ns() + clock::as_ns(self.think);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{LoadTarget, Plan, Stream};

    /// So that thousands of them, most of whom think, need a few megabytes.
    #[test]
    fn a_customer_who_thinks_is_small() {
        let mix = Mix::named("view").expect("a mix");
        let plan = Plan {
            streams: vec![Stream::closed(mix.clone(), 1, Duration::ZERO)],
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(1),
            seed: 1,
        };
        let target = LoadTarget::new("http://127.0.0.1".parse().expect("an address"));
        let (sink, _records) = tokio::sync::mpsc::channel(1);
        let stop = CancellationToken::new();
        let generator = Generator::new(&plan, target, sink, 0, &stop).expect("a generator");
        let customer = Waiting {
            generator: Arc::new(generator),
            mix: Arc::new(mix),
            rounds: Rounds::new(1, 0, 0),
            stream: 0,
            customer: 0,
            think: Duration::ZERO,
            end_ns: 1,
        };
        let size = size_of_val(&customer.live());
        assert!(size < 1_024, "{size} bytes");
    }
}
