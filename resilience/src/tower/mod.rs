//! The policies as tower layers.
//!
//! [`GateLayer`] puts one part that admits or refuses (a breaker, a bulkhead, a throttle) round a
//! service; [`SlotLayer`] puts a whole call path round it; [`DoorLayer`] puts a server's limit,
//! queue and shedding in front of it. Layers that stand side by side make a path of their own
//! order.
//!
//! They look at a service's *errors*. A failure that comes as an `Ok` response (an HTTP 503, or a
//! `grpc-status` in the trailers of an HTTP 200) is a success to them: map it to an error below
//! the layer, or use the policies round a typed call, where the generated client has done so. For
//! the same reason there is no retry layer here: tonic's request bodies can't be cloned, so retries
//! of gRPC belong above the client, in [`Slot::call`](crate::Slot::call). [`SlotLayer`] serves
//! requests that are `Clone`.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
//! # .unwrap().block_on(async {
//! use resilience::{Classify, FailureKind, Reason};
//! use resilience::breaker::{Breaker, BreakerConfig};
//! use resilience::tower::{GateLayer, GateError};
//! use tower::{Layer as _, ServiceExt as _, service_fn};
//!
//! #[derive(Debug, PartialEq)]
//! struct Down;
//! impl Classify for Down {
//!     fn failure(&self) -> FailureKind { FailureKind::Unavailable }
//!     fn code(&self) -> &str { "UNAVAILABLE" }
//! }
//!
//! let breaker = Breaker::new(BreakerConfig::consecutive(1, std::time::Duration::from_secs(5)));
//! let guarded = GateLayer::new(breaker).layer(service_fn(|_: ()| async { Err::<(), _>(Down) }));
//! assert_eq!(guarded.clone().oneshot(()).await, Err(GateError::Failed(Down)));
//! let refused = guarded.oneshot(()).await.unwrap_err();
//! assert!(matches!(refused, GateError::Refused { reason: Reason::Breaker, .. }));
//! # });
//! ```

mod door;
mod gate;
mod slot;

pub use door::{DoorLayer, DoorService};
pub use gate::{Gate, GateError, GateLayer, GateService, Refusal};
pub use slot::{SlotLayer, SlotService};

use std::borrow::Cow;
use std::pin::Pin;

use crate::deadline::Deadline;
use crate::priority::Priority;

type Answer<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// What a layer must know of a request.
#[derive(Clone, Debug)]
pub struct Described {
    /// The method or route template, from a bounded set.
    pub method: Cow<'static, str>,
    /// The request's id.
    pub request_id: String,
    /// Whether repeating it does no harm.
    pub idempotent: bool,
    /// Until when an answer is of use.
    pub deadline: Deadline,
    /// Who is served first.
    pub priority: Priority,
}
