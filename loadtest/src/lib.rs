//! Load for the shop, open-loop unless a stream says otherwise.
//!
//! *Open loop* means that arrivals keep their times whatever the target does: a slow answer delays
//! nobody but the customer who waits for it, so an outage is measured as its customers meet it and
//! not as a polite client would (Schroeder, Wierman and Harchol-Balter, "Open Versus Closed",
//! NSDI '06). Latency therefore counts from the moment a request *should* have started, which is
//! also the cure for coordinated omission (Gil Tene, "How NOT to Measure Latency").
//!
//! - [`Plan`] says what arrives when; [`schedule()`] turns it into arrivals, a pure function;
//! - [`LoadTarget`] says where the requests go and on whose behalf; what request an arrival makes is
//!   a pure function of seed and index too ([`request::choose`]), so that a run can be repeated and
//!   two arms of a comparison meet the same customers;
//! - a stream has a rate over time (a [`Profile`]), or customers who wait for each answer
//!   ([`Source::Closed`]); it may have a name and a priority;
//! - the slot `load` is the load's own policy ([`LoadTarget::policies`]), none unless it is asked for;
//! - [`run()`] keeps the times, and delivers one [`Record`] a request; [`RunStats`] tells whether the
//!   generator itself kept up ([`RunStats::void_reason`]);
//! - [`session::run_load`] is a whole run with its [`report`]; [`fixtures`] prepares customers and
//!   products through the lab's control API.
//!
//! All times are nanoseconds of `CLOCK_MONOTONIC` ([`clock`]), the base that the services use in
//! their events too.

mod caller;
pub mod client;
pub mod clock;
mod closed;
mod draw;
mod error;
pub mod fixtures;
mod generator;
pub mod histogram;
mod limits;
mod mix;
mod orders;
mod pacer;
mod people;
mod plan;
mod profile;
mod record;
mod renew;
pub mod report;
pub mod request;
mod schedule;
pub mod session;
mod stats;
mod stream;
mod target;
mod template;

pub use closed::closed_index;
pub use error::LoadError;
pub use generator::{GENERATOR_FULL, STOPPED, run};
pub use histogram::Histogram;
pub use mix::{Mix, Op};
pub use orders::Orders;
pub use plan::Plan;
pub use profile::Profile;
pub use record::{Effect, Judgement, Outcome, Record, judge};
pub use request::Line;
pub use resilience::Priority;
pub use schedule::{Arrival, Schedule, schedule};
pub use stats::RunStats;
pub use stream::{Arrivals, Source, Stream};
pub use target::{Customer, LoadTarget, customer_address};
pub use template::Template;
