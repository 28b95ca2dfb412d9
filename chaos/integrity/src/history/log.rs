//! Writing a history.

use std::io::Write;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Answer, Call, FaultNote, Record};
use crate::shop::Reply;

/// The one clock of a run: tokio's, so that a paused one works too.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    zero: u64,
}

impl Clock {
    /// Begins now, which is called `zero_ns`. Real runs pass `CLOCK_MONOTONIC`, so that services'
    /// events lie on the same axis.
    #[must_use]
    pub fn starting_at(zero_ns: u64) -> Self {
        Self {
            start: Instant::now(),
            zero: zero_ns,
        }
    }

    /// Now, in nanoseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        let elapsed = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.zero.saturating_add(elapsed)
    }
}

struct Inner {
    records: Vec<Record>,
    next: u64,
    sink: Option<Box<dyn Write + Send + Sync>>,
    failed: Option<String>,
}

/// Keeps the log, and writes each record to its sink before going on.
pub struct Recorder {
    clock: Clock,
    inner: Mutex<Inner>,
}

impl Recorder {
    /// An empty log. A sink gets each record as a line, at once: whatever is sent was written
    /// before.
    #[must_use]
    pub fn new(clock: Clock, sink: Option<Box<dyn Write + Send + Sync>>) -> Self {
        let inner = Inner {
            records: Vec::new(),
            next: 0,
            sink,
            failed: None,
        };
        Self {
            clock,
            inner: Mutex::new(inner),
        }
    }

    /// The run's clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Writes what `record` makes of the present time. Under one lock, so that times never go back.
    pub fn note(&self, record: impl FnOnce(u64) -> Record) {
        let mut inner = self.inner.lock();
        let record = record(self.clock.now());
        inner.write(record);
    }

    /// Writes that `call` is about to be sent; its number.
    pub fn invoke(&self, call: Call) -> u64 {
        let mut inner = self.inner.lock();
        let op = inner.next;
        inner.next += 1;
        let t = self.clock.now();
        inner.write(Record::Invoke { t, op, call });
        op
    }

    /// Writes what came of an operation.
    pub fn end<T>(&self, op: u64, reply: &Reply<T>, answer: impl FnOnce(&T) -> Answer) {
        self.note(|t| match reply {
            Reply::Done(done) => Record::Ok {
                t,
                op,
                answer: answer(done),
            },
            Reply::Refused { status, error } => Record::Fail {
                t,
                op,
                status: *status,
                error: error.clone(),
            },
            Reply::Unknown(why) => Record::Info {
                t,
                op,
                why: why.clone(),
            },
        });
    }

    /// Writes of a fault.
    pub fn fault(&self, note: FaultNote) {
        self.note(|t| Record::Fault { t, note });
    }

    /// All records, and why the sink could not be written to, if so.
    #[must_use]
    pub fn into_records(self) -> (Vec<Record>, Option<String>) {
        let inner = self.inner.into_inner();
        (inner.records, inner.failed)
    }
}

impl Inner {
    fn write(&mut self, record: Record) {
        if self.failed.is_none()
            && let Some(sink) = &mut self.sink
        {
            let written = serde_json::to_string(&record)
                .map_err(std::io::Error::from)
                .and_then(|line| sink.write_all(format!("{line}\n").as_bytes()))
                .and_then(|()| sink.flush());
            self.failed = written.err().map(|error| error.to_string());
        }
        self.records.push(record);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::history::{Tail, read};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_is_written_before_it_is_sent() {
        let sink = Shared::default();
        let recorder = Recorder::new(Clock::starting_at(1_000), Some(Box::new(sink.clone())));
        let op = recorder.invoke(Call::List { user: 3 });
        let written = read(sink.0.lock().as_slice()).unwrap();
        assert_eq!(written.0.len(), 1, "before any outcome");
        tokio::time::advance(std::time::Duration::from_millis(2)).await;
        recorder.end(op, &Reply::<()>::Unknown("timeout".into()), |()| {
            Answer::Done
        });
        let (records, tail) = read(sink.0.lock().as_slice()).unwrap();
        assert_eq!(tail, Tail::Whole);
        assert_eq!(
            records.iter().map(Record::t).collect::<Vec<_>>(),
            [1_000, 2_001_000]
        );
        assert_eq!(records, recorder.into_records().0);
    }

    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk full"))
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_written_is_said() {
        let recorder = Recorder::new(Clock::starting_at(0), Some(Box::new(Full)));
        recorder.invoke(Call::Audit);
        let (records, failed) = recorder.into_records();
        assert_eq!(records.len(), 1);
        assert_eq!(failed.as_deref(), Some("disk full"));
    }
}
