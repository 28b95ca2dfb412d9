//! What becomes of one request, all faults taken together.

use std::sync::Arc;

use tokio::time::Duration;

use super::{
    action::{Action, Deed},
    registry::Fault,
    status::Failure,
};

/// The deeds of all faults that act on one request. Whatever order the faults were added in, they
/// act in this one: delay, hang, capacity, work, fail, the lost reply.
#[derive(Default)]
pub(super) struct Plan {
    acted: Vec<(Arc<Fault>, Deed)>,
}

impl Plan {
    /// Of several faults that fail a request the first decides.
    pub(super) fn open_to(&self, action: &Action) -> bool {
        !matches!(action, Action::Fail { .. }) || self.fail().is_none()
    }

    pub(super) fn add(&mut self, fault: &Arc<Fault>, deed: Deed) {
        match deed {
            // Of several capacities the one added last applies alone.
            Deed::Serve(_) => self.drop_deeds(|deed| matches!(deed, Deed::Serve(_))),
            // A request that fails has no reply to lose.
            Deed::Fail(_) => self.drop_deeds(|deed| *deed == Deed::LoseReply),
            Deed::LoseReply if self.fail().is_some() => return,
            _ => {}
        }
        self.acted.push((Arc::clone(fault), deed));
    }

    fn drop_deeds(&mut self, which: impl Fn(&Deed) -> bool) {
        self.acted.retain(|(_, deed)| !which(deed));
    }

    /// The faults that act, each with what it does.
    pub(super) fn acted(&self) -> &[(Arc<Fault>, Deed)] {
        &self.acted
    }

    pub(super) fn is_empty(&self) -> bool {
        self.acted.is_empty()
    }

    /// Their ids, for the request's span.
    pub(super) fn names(&self) -> String {
        let ids: Vec<&str> = self
            .acted
            .iter()
            .map(|(fault, _)| &*fault.spec.id)
            .collect();
        ids.join(",")
    }

    pub(super) fn delay(&self) -> Option<Duration> {
        self.sum(|deed| match deed {
            Deed::Delay(time) => Some(*time),
            _ => None,
        })
    }

    pub(super) fn work(&self) -> Option<Duration> {
        self.sum(|deed| match deed {
            Deed::Work(time) => Some(*time),
            _ => None,
        })
    }

    fn sum(&self, time: impl Fn(&Deed) -> Option<Duration>) -> Option<Duration> {
        let times = self.acted.iter().filter_map(|(_, deed)| time(deed));
        times.reduce(Duration::saturating_add)
    }

    pub(super) fn hangs(&self) -> impl Iterator<Item = &Arc<Fault>> {
        let hangs = self.acted.iter().filter(|(_, deed)| *deed == Deed::Hang);
        hangs.map(|(fault, _)| fault)
    }

    pub(super) fn capacity(&self) -> Option<(Arc<Fault>, Duration)> {
        self.acted.iter().find_map(|(fault, deed)| match deed {
            Deed::Serve(time) => Some((Arc::clone(fault), *time)),
            _ => None,
        })
    }

    pub(super) fn fail(&self) -> Option<(&Arc<Fault>, Failure)> {
        self.acted.iter().find_map(|(fault, deed)| match deed {
            Deed::Fail(failure) => Some((fault, *failure)),
            _ => None,
        })
    }

    pub(super) fn loses_reply(&self) -> bool {
        self.acted.iter().any(|(_, deed)| *deed == Deed::LoseReply)
    }

    /// Whether something of it goes on when the caller has left.
    pub(super) fn outlives_its_caller(&self) -> bool {
        self.capacity().is_some() || self.work().is_some() || self.loses_reply()
    }
}
