//! Waits for a moment more exactly than tokio's clock, which ticks in milliseconds.
//!
//! On Linux a timer of the kernel's (`timerfd`, absolute, on the clock of the schedule) wakes the
//! runtime through its own reactor: some tens of microseconds late, without a thread of its own and
//! without spinning, so that pacing costs three system calls an arrival. Elsewhere, or if there is
//! none, tokio's clock is what there is.

use tokio::time::sleep_until;

use crate::clock;

#[cfg(target_os = "linux")]
mod precise {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A timer of the kernel's.
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        #[allow(
            deprecated,
            reason = "it is unsound for what may give its descriptor away; an OwnedFd does not, and \
                      what takes its place is unsafe"
        )]
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            AsyncFd::with_interest(timer, Interest::READABLE).map(Self)
        }

        pub(super) async fn until(&self, due_ns: u64) -> io::Result<()> {
            let once = Itimerspec {
                it_interval: Timespec::default(),
                it_value: Timespec {
                    tv_sec: i64::try_from(due_ns / 1_000_000_000).unwrap_or(i64::MAX),
                    tv_nsec: (due_ns % 1_000_000_000) as _,
                },
            };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
            loop {
                let mut ready = self.0.readable().await?;
                let mut fired = [0; 8];
                // Not ready after all (of an earlier wait that was dropped): wait again.
                if let Ok(read) = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut fired)?)) {
                    return read.map(|_| ());
                }
            }
        }
    }
}

/// Waits for moments of [`clock`].
pub(crate) struct Pacer {
    #[cfg(target_os = "linux")]
    timer: Option<precise::Timer>,
}

impl Pacer {
    /// Must be made within the runtime that it will wait in.
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            timer: precise::Timer::new().ok(),
        }
    }

    /// Waits until `due_ns`; a moment that has passed is now.
    pub(crate) async fn until(&self, due_ns: u64) {
        if clock::now_ns() >= due_ns {
            return;
        }
        #[cfg(target_os = "linux")]
        if let Some(timer) = &self.timer
            && timer.until(due_ns).await.is_ok()
        {
            return;
        }
        sleep_until(clock::instant_at(due_ns)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_long_enough_again_and_again() {
        let pacer = Pacer::new();
        let start = clock::now_ns();
        for n in 1..=200 {
            let due = start + n * 300_000;
            pacer.until(due).await;
            assert!(clock::now_ns() >= due, "never before its time");
        }
        pacer.until(1).await;
        let late = clock::now_ns() - (start + 60_000_000);
        assert!(late < 5_000_000_000, "{late} ns late");
    }

    #[tokio::test]
    async fn a_wait_that_was_dropped_does_not_shorten_the_next() {
        let pacer = Pacer::new();
        for _ in 0..20 {
            let due = clock::now_ns() + 2_000_000;
            tokio::select! {
                biased;
                () = pacer.until(due) => {}
                () = tokio::time::sleep(std::time::Duration::from_millis(2)) => {}
            }
            let due = clock::now_ns() + 1_000_000;
            pacer.until(due).await;
            assert!(clock::now_ns() >= due);
        }
    }
}
