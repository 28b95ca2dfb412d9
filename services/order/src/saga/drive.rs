//! One saga, step by step: by the request that began it, or by recovery.

use std::{sync::Arc, time::Duration};

use kit::Ctx;
use resilience::deadline::Deadline;

use super::{
    Begin, Begun, Draft, Hold, Journal, Lease, Payments, Reply, SagaState, Settings, Stock,
    settings::millis,
};
use crate::{
    clients::{Authorized, Committed, Reserved},
    domain::{NewOrder, Reservation, Status},
    error::{OrderError, Result},
};

/// How long the undoing of a failed order may take before recovery goes on with it; the request's
/// own deadline may have passed by then.
const UNDO_WITHIN: Duration = Duration::from_secs(4);
/// A holder may be this much later than its request's deadline.
const GRACE: Duration = Duration::from_secs(2);

/// Makes, undoes and cancels orders over its collaborators.
#[derive(Clone)]
pub struct Saga {
    journal: Arc<dyn Journal>,
    stock: Arc<dyn Stock>,
    payments: Option<Arc<dyn Payments>>,
    settings: Settings,
}

/// Why an order was not made, and what has to go back for it.
struct Stop {
    error: OrderError,
    stock: bool,
    payment: bool,
    /// Recovery's, since the outcome is unknown or the saga no longer ours.
    leave: bool,
}

impl Stop {
    fn undo(error: OrderError, stock: bool, payment: bool) -> Self {
        Self {
            error,
            stock,
            payment,
            leave: false,
        }
    }

    fn leave(error: OrderError) -> Self {
        Self {
            error,
            stock: true,
            payment: true,
            leave: true,
        }
    }
}

impl Saga {
    /// Without `payments` an order has no payment step.
    pub fn new(
        journal: Arc<dyn Journal>,
        stock: Arc<dyn Stock>,
        payments: Option<Arc<dyn Payments>>,
        settings: Settings,
    ) -> Self {
        Self {
            journal,
            stock,
            payments,
            settings,
        }
    }

    pub(super) fn journal(&self) -> &dyn Journal {
        self.journal.as_ref()
    }

    /// The process-wide settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn now(&self) -> i64 {
        self.settings.clock.now_ms()
    }

    /// A lease that begins now.
    pub fn lease(&self, time: Duration) -> Lease {
        Lease {
            owner: self.settings.owner.clone(),
            until_ms: self.now() + millis(time),
        }
    }

    /// Makes an order. The answer goes to `reply` as soon as the outcome is known; what is left
    /// to be tidied up comes after it.
    pub async fn make(&self, ctx: &Ctx, mut draft: Draft, reply: Reply) {
        // A seeded defect: the key is stored when everything is done.
        let late = match self.settings.defects.on("key_after_effect") {
            true => draft.claim.take(),
            false => None,
        };
        let mut hold = match self.begin(ctx, &draft).await {
            Ok(Ok(hold)) => hold,
            Ok(Err(answer)) => return drop(reply.send(Ok(answer))),
            Err(error) => return drop(reply.send(Err(error))),
        };
        let mut reply = Some(reply);
        match self.forward(ctx, &draft, &mut hold, &mut reply).await {
            Ok(answer) => {
                self.settings.points.hit("order.create.before_reply").await;
                send(&mut reply, Ok(answer.clone()));
                if let Some(claim) = late {
                    let (journal, user) = (&self.journal, draft.user_id);
                    let _ = journal
                        .remember_late(ctx, &hold, user, &claim, &answer)
                        .await;
                }
                if hold.state == SagaState::Committed {
                    let captured = self.capture(&afterwards(ctx), &mut hold).await;
                    self.later(&hold, captured).await;
                }
            }
            Err(stop) => self.stop(ctx, stop, &mut hold, &mut reply).await,
        }
    }

    /// Opens the saga, or tells what its key was answered.
    async fn begin(&self, ctx: &Ctx, draft: &Draft) -> Result<Result<Hold, String>> {
        let left = ctx.deadline.remaining().unwrap_or(self.settings.ttl);
        let begin = Begin {
            order_key: draft.order_key.clone(),
            user_id: draft.user_id,
            claim: draft.claim.clone(),
            lease: self.lease((left + GRACE).min(self.settings.ttl)),
            deadline_ms: self.now() + millis(self.settings.ttl),
            now_ms: self.now(),
        };
        match self.journal.begin(ctx, &begin).await? {
            Begun::Yes(hold) => Ok(Ok(hold)),
            Begun::Answered(answer) => Ok(Err(answer)),
            Begun::InFlight => Err(OrderError::KeyInFlight),
            Begun::OtherBody => Err(OrderError::KeyReused),
        }
    }

    /// To the moment at which the order exists.
    async fn forward(
        &self,
        ctx: &Ctx,
        draft: &Draft,
        hold: &mut Hold,
        reply: &mut Option<Reply>,
    ) -> Result<String, Stop> {
        self.reserve(ctx, draft).await?;
        self.authorize(ctx, draft).await?;
        // The caller has given up: an order now would be one that it doesn't know of.
        if ctx.deadline.expired() {
            return Err(Stop::undo(OrderError::DeadlinePassed, true, true));
        }
        let answer = self.place(ctx, draft, hold).await?;
        if self.settings.defects.on("early_reply") {
            send(reply, Ok(answer.clone()));
        }
        match self.stock.commit(ctx, &hold.order_key).await {
            Ok(Committed::Yes) => {}
            Ok(Committed::Gone(what)) => {
                let error = OrderError::BadAnswer {
                    dependency: "product",
                    what,
                };
                return Err(Stop::undo(error, true, true));
            }
            Err(error) => return Err(Stop::leave(error)),
        }
        self.settings.points.hit("order.stock_committed").await;
        self.confirm(ctx, hold).await?;
        Ok(answer)
    }

    async fn reserve(&self, ctx: &Ctx, draft: &Draft) -> Result<(), Stop> {
        let ttl_ms = millis(self.settings.ttl);
        let nothing = |error| Stop::undo(error, false, false);
        let (key, lines) = (&draft.order_key, &draft.lines);
        match self.stock.reserve(ctx, key, lines, ttl_ms).await {
            Ok(Reserved::Held) => Ok(()),
            Ok(Reserved::Unknown(ids)) => Err(nothing(OrderError::UnknownProducts(ids))),
            Ok(Reserved::Short(short)) => Err(nothing(OrderError::Shortage(short))),
            Err(error) => {
                let taken = error.may_have_happened();
                Err(Stop::undo(error, taken, false))
            }
        }
    }

    async fn authorize(&self, ctx: &Ctx, draft: &Draft) -> Result<(), Stop> {
        let Some(payments) = &self.payments else {
            return Ok(());
        };
        let cents = draft.basket.total.0;
        match payments.authorize(ctx, &draft.order_key, cents).await {
            Ok(Authorized::Yes) => Ok(()),
            Ok(Authorized::Declined) => Err(Stop::undo(OrderError::PaymentDeclined, true, false)),
            Err(error) => {
                let taken = error.may_have_happened();
                Err(Stop::undo(error, true, taken))
            }
        }
    }

    /// Stores the order. Whether one that failed was stored all the same is decided by the
    /// database: whichever comes first, the order or the step to undoing, keeps the other out.
    async fn place(&self, ctx: &Ctx, draft: &Draft, hold: &mut Hold) -> Result<String, Stop> {
        let order = NewOrder {
            order_key: draft.order_key.clone(),
            user_id: draft.user_id,
            contact: draft.contact.clone(),
            status: Status::Pending,
            reservation: Reservation::Held,
            basket: draft.basket.clone(),
            created_ms: self.now(),
        };
        let claim = draft.claim.as_ref();
        let render = self.settings.render;
        let error = match self.journal.place(ctx, hold, &order, claim, render).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => OrderError::SagaLost,
            Err(error) => error,
        };
        let ctx = &afterwards(ctx);
        if let Ok(true) = self
            .journal
            .advance(ctx, hold, SagaState::Undoing, self.now())
            .await
        {
            return Err(Stop::undo(error, true, true));
        }
        match self.journal.state(ctx, &hold.order_key).await {
            Ok(Some(SagaState::Placed)) => {}
            _ => return Err(Stop::leave(error)),
        }
        hold.state = SagaState::Placed;
        match self.journal.answer(ctx, &hold.order_key, render).await {
            Ok(Some(answer)) => Ok(answer),
            _ => Err(Stop::leave(error)),
        }
    }

    /// Shows the order, whose stock is final.
    async fn confirm(&self, ctx: &Ctx, hold: &mut Hold) -> Result<(), Stop> {
        let to = match self.payments {
            Some(_) => SagaState::Committed,
            None => SagaState::Done,
        };
        match self.journal.advance(ctx, hold, to, self.now()).await {
            Ok(true) => Ok(()),
            // Recovery was faster, and goes on with it: the order is there all the same.
            Ok(false) => match self.journal.state(ctx, &hold.order_key).await {
                Ok(Some(SagaState::Committed | SagaState::Done)) => Ok(()),
                _ => Err(Stop::leave(OrderError::SagaLost)),
            },
            Err(error) => Err(Stop::leave(error)),
        }
    }

    async fn stop(&self, ctx: &Ctx, stop: Stop, hold: &mut Hold, reply: &mut Option<Reply>) {
        let ctx = &afterwards(ctx);
        if stop.leave {
            send(reply, Err(stop.error));
            return self.later(hold, Err(OrderError::SagaLost)).await;
        }
        let nothing_taken = !stop.stock && !stop.payment;
        let to = match nothing_taken {
            true => SagaState::Undone,
            false => SagaState::Undoing,
        };
        // Before the answer, so that the client's next try finds its key free.
        let ours = match hold.state {
            SagaState::Undoing => Ok(true),
            _ => self.journal.advance(ctx, hold, to, self.now()).await,
        };
        self.settings.points.hit("order.refuse.before_reply").await;
        send(reply, Err(stop.error));
        let done = match ours {
            Ok(true) if nothing_taken => Ok(()),
            Ok(true) => self.undo(ctx, hold, stop.stock, stop.payment).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        self.later(hold, done).await;
    }

    /// Goes on with a saga that recovery has taken over.
    ///
    /// # Errors
    /// As the services and the database; nothing is lost, and it is to be tried again.
    pub async fn resume(&self, ctx: &Ctx, hold: &mut Hold) -> Result<()> {
        self.settings.points.hit("order.recovery.before_step").await;
        if hold.state == SagaState::Open
            && !self
                .journal
                .advance(ctx, hold, SagaState::Undoing, self.now())
                .await?
        {
            return Ok(());
        }
        if hold.state == SagaState::Placed {
            let to = match self.stock.commit(ctx, &hold.order_key).await? {
                Committed::Yes => SagaState::Committed,
                Committed::Gone(_) => SagaState::Undoing,
            };
            if !self.journal.advance(ctx, hold, to, self.now()).await? {
                return Ok(());
            }
        }
        match hold.state {
            SagaState::Undoing => self.undo(ctx, hold, true, true).await,
            SagaState::Committed => self.capture(ctx, hold).await,
            SagaState::Cancelling => self.give_back(ctx, hold).await,
            _ => Ok(()),
        }
    }

    /// Puts back what belongs to an order that was cancelled just now; what does not work is
    /// recovery's.
    pub async fn put_back(&self, ctx: &Ctx, mut hold: Hold) {
        let done = self.resume(&afterwards(ctx), &mut hold).await;
        self.later(&hold, done).await;
    }

    async fn undo(&self, ctx: &Ctx, hold: &mut Hold, stock: bool, payment: bool) -> Result<()> {
        // A seeded defect: says that it was undone, and does nothing.
        if !self.settings.defects.on("lost_compensation") {
            if stock {
                self.stock.release(ctx, &hold.order_key).await?;
            }
            if let (true, Some(payments)) = (payment, &self.payments) {
                payments.void(ctx, &hold.order_key).await?;
            }
        }
        self.end(ctx, hold, SagaState::Undone).await
    }

    /// Takes the payment of an order that exists.
    async fn capture(&self, ctx: &Ctx, hold: &mut Hold) -> Result<()> {
        if let Some(payments) = &self.payments {
            let key = &hold.order_key;
            let known = hold.attempts > 0 && payments.is_captured(ctx, key).await?;
            if !known && !payments.capture(ctx, key).await? {
                tracing::error!(order_key = %key, "an order's payment can't be captured");
            }
            self.settings.points.hit("order.payment_captured").await;
        }
        self.end(ctx, hold, SagaState::Done).await
    }

    /// Puts back what belongs to a cancelled order.
    async fn give_back(&self, ctx: &Ctx, hold: &mut Hold) -> Result<()> {
        if !self.settings.defects.on("lost_compensation") {
            self.stock.give_back(ctx, &hold.order_key).await?;
            if let Some(payments) = &self.payments {
                payments.void(ctx, &hold.order_key).await?;
            }
        }
        self.end(ctx, hold, SagaState::Cancelled).await
    }

    async fn end(&self, ctx: &Ctx, hold: &mut Hold, to: SagaState) -> Result<()> {
        // False: somebody else has ended it, or the order was cancelled meanwhile.
        self.journal
            .advance(ctx, hold, to, self.now())
            .await
            .map(drop)
    }

    /// Hands what did not work to recovery.
    async fn later(&self, hold: &Hold, done: Result<()>) {
        let Err(error) = done else { return };
        tracing::debug!(order_key = %hold.order_key, state = %hold.state, %error, "for recovery");
        // Unless this works too, recovery waits for the lease.
        let _ = self.journal.defer(hold, self.now()).await;
    }
}

/// Nobody listens when the client has gone.
fn send(reply: &mut Option<Reply>, answer: Result<String>) {
    if let Some(reply) = reply.take() {
        let _ = reply.send(answer);
    }
}

/// For what is done about an order whether or not anybody waits for it still.
fn afterwards(ctx: &Ctx) -> Ctx {
    Ctx {
        deadline: Deadline::after(UNDO_WITHIN),
        ..ctx.clone()
    }
}
