//! Resilience policies for calls between services: deadlines, retries with back-off and budgets,
//! hedging, circuit breakers, bulkheads, throttling, and at the server limits, queues and shedding,
//! as plain data that can be changed while calls are in flight.
//!
//! # The call path
//!
//! A [`Slot`] guards one link. A call through it meets, outermost first:
//!
//! **fallback → deadline → retry (with its budget) → hedge → throttle → breaker → bulkhead →
//! attempt time-out → the call**
//!
//! The breaker is *inside* the retry, so every attempt counts towards it and an attempt it refuses
//! ends the call: retrying a local refusal would only spend time on an answer already known
//! (resilience4j's default order). The order has a price worth knowing: a call can be refused in
//! the middle of its retries, and the error of its previous attempt then travels along in
//! [`CallError::Rejected`]. The other order is a field away
//! ([`BreakerAround::Call`](policy::BreakerAround)), and any further one can be composed from the
//! parts, each of which also works alone (below).
//!
//! At the other end of the link a [`ServerSlot`] decides which requests are
//! worked on:
//!
//! **priority → bounded queue with a time limit → limit on concurrent work → the handler**
//!
//! # Which pattern when
//!
//! | pattern | for | does harm when |
//! |---|---|---|
//! | fallback ([`Slot::call_or_else`]) | an old or partial answer is better than none | it is as fragile as the call, or hides an outage |
//! | [`deadline`] | every request that somebody waits for | callers don't pass it on |
//! | attempt time-out ([`Policy::attempt_timeout`]) | a dependency that hangs instead of failing | shorter than the slow end of healthy answers |
//! | [`retry`] | short, independent faults, idempotent methods | the dependency is overloaded: it multiplies the load, and layers multiply each other |
//! | [`backoff`] | spreading retries in time | without jitter: everybody comes back at once |
//! | [`budget`] | keeping retries from becoming the load | too small for the faults that retries should mend |
//! | [`hedge`] | a long tail with the cause in single servers | the whole dependency is slow: twice the load |
//! | [`throttle`] | many callers of one overloaded backend | few requests: the estimate is noise |
//! | [`breaker`] | a dependency that stays down | it is shared by callees of different health, or trips on the caller's own faults |
//! | [`bulkhead`] | keeping one slow dependency from taking every worker | its size is a guess that nobody revisits |
//! | [`limit`], [`server`] | a server that can be asked for more than it can do | without priorities: health checks wait with the rest |
//!
//! Each module argues its case, says where the pattern comes from, and how its figures were chosen.
//!
//! # Parts alone
//!
//! Every part is usable without a slot, as a wrapper round a typed call
//! ([`Breaker::call`](breaker::Breaker::call), [`Bulkhead::call`](bulkhead::Bulkhead::call),
//! [`Throttle::call`](throttle::Throttle::call), [`hedge::race`], [`Retry`](retry::Retry) and
//! [`Budget`](budget::Budget) by hand) or as a tower layer ([`tower`]). Put together in
//! another order they make another path; `examples/other_order.rs` puts one breaker outside of the
//! retry and shows what changes.
//!
//! # One call
//!
//! ```
//! use std::sync::Arc;
//! use resilience::{Call, CallError, Classify, Deadline, FailureKind, Slot, SlotName};
//! use resilience::{observe::Fanout, preset};
//!
//! #[derive(Debug)]
//! struct Down;
//! impl Classify for Down {
//!     fn failure(&self) -> FailureKind { FailureKind::NotProcessed }
//!     fn code(&self) -> &str { "UNAVAILABLE" }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
//! # .expect("a runtime").block_on(async {
//! let slot = Slot::new(
//!     SlotName::new("order-product", "order", "product"),
//!     preset::get("fast").expect("a known preset"),
//!     Arc::new(Fanout::default()),
//!     42,
//! );
//! let call = Call {
//!     method: "GetProducts",
//!     request_id: "r-1",
//!     idempotent: true,
//!     deadline: Deadline::NONE,
//! };
//! // The dependency fails twice and then answers: the caller sees the answer only.
//! let answer = slot
//!     .call(call, |attempt| async move { if attempt.number < 3 { Err(Down) } else { Ok("20 products") } })
//!     .await;
//! assert!(matches!(answer, Ok("20 products")));
//! # });
//! ```
//!
//! # Time and chance
//!
//! Everything runs on tokio's clock and on generators seeded by the caller, so a test or a
//! simulation that pauses the clock sees the same decisions every time. No module reads the
//! system clock or the system's randomness.
#![warn(missing_docs)]

pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod bulkhead;
mod call;
pub mod deadline;
pub mod failure;
#[cfg(feature = "grpc")]
mod grpc;
mod guard;
pub mod hedge;
pub mod limit;
pub mod observe;
mod path;
pub mod policy;
pub mod preset;
pub mod priority;
pub mod retry;
mod rng;
pub mod server;
mod sliding;
pub mod slot;
pub mod throttle;
#[cfg(feature = "tower")]
pub mod tower;

pub use call::{Attempt, Call, CallError, Outcome, Reason};
pub use deadline::Deadline;
pub use failure::{Classify, FailureKind, Pushback};
pub use observe::{Event, Observer};
pub use policy::{Policy, PolicyError, PolicySpec, SlotSpec};
pub use priority::Priority;
pub use server::{ServerPolicy, ServerSlot, ServerSpec};
pub use slot::{BreakerView, Slot, SlotName};
