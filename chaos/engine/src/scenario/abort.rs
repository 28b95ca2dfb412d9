//! `[abort_when]`: how bad it may get before a run is broken off.

use std::time::Duration;

use super::read::Table;
use crate::diagnostics::Collector;

/// A run ends when one of the limits is crossed in each of so many seconds in a row. It is
/// for systems that others use too: the checks decide about policies, this about the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AbortWhen {
    /// A lower share of the answers of a second was served, or none came though requests
    /// were under way.
    pub served_below: Option<f64>,
    /// The slowest answer of a second took longer.
    pub slower_than: Option<Duration>,
    /// Seconds in a row.
    pub seconds: u32,
}

pub(super) fn read(c: &mut Collector<'_>, mut t: Table<'_, '_>) -> Option<AbortWhen> {
    let served_below = t.share(c, "served_below");
    let slower_than = t.duration(c, "slower_than");
    let lasts = t.need_duration(c, "for");
    if served_below.is_none() && slower_than.is_none() {
        let message = "[abort_when] has no limit: it needs `served_below` or `slower_than`";
        c.error(t.span(), message);
    }
    t.finish(c);
    let lasts = lasts?;
    let seconds = u32::try_from(lasts.value.as_secs()).unwrap_or(u32::MAX);
    if seconds == 0 || lasts.value.subsec_nanos() != 0 {
        c.error(lasts.span, "`for` must be whole seconds, one or more");
        return None;
    }
    Some(AbortWhen {
        served_below: served_below.map(|share| share.value),
        slower_than: slower_than.map(|limit| limit.value),
        seconds,
    })
}
