//! Reading a history back.

use std::io::{BufRead, BufReader, Read};

use super::{FORMAT, Record};

/// How a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// With a whole line.
    Whole,
    /// In the middle of a line, since its writer died: that line is left out.
    Torn,
}

/// Why a log can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file itself.
    #[error("the history can't be read: {0}")]
    Io(#[from] std::io::Error),
    /// A line that is none of ours; a torn one is no error when it is the last.
    #[error("line {line} of the history is no record: {why}")]
    Line {
        /// From 1.
        line: usize,
        /// What the JSON reader says.
        why: String,
    },
    /// Written by another version.
    #[error("the history has format {found}, this version reads {FORMAT}")]
    Format {
        /// What its first line says.
        found: u32,
    },
}

/// All records, and how the log ends.
///
/// # Errors
/// [`ReadError`]. Only a last line without its line break may be torn.
pub fn read(source: impl Read) -> Result<(Vec<Record>, Tail), ReadError> {
    let mut source = BufReader::new(source);
    let mut records = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if source.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        match serde_json::from_slice::<Record>(&bytes) {
            Ok(Record::Begin { format, .. }) if format != FORMAT => {
                return Err(ReadError::Format { found: format });
            }
            Ok(record) => records.push(record),
            Err(_) if bytes.last() != Some(&b'\n') => return Ok((records, Tail::Torn)),
            Err(error) => {
                let why = error.to_string();
                return Err(ReadError::Line { line, why });
            }
        }
    }
    Ok((records, Tail::Whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Call, FaultNote, FaultPhase};

    fn log() -> Vec<u8> {
        let records = [
            Record::Begin {
                t: 1,
                format: FORMAT,
                run: "r".into(),
                seed: 7,
                prices: vec![(1, 990)],
            },
            Record::Invoke {
                t: 2,
                op: 0,
                call: Call::List { user: 4 },
            },
            Record::Fault {
                t: 3,
                note: FaultNote::new("kill-1", FaultPhase::Struck, "order-service"),
            },
        ];
        let lines = records.map(|record| serde_json::to_string(&record).unwrap() + "\n");
        lines.concat().into_bytes()
    }

    #[test]
    fn wherever_the_last_line_is_torn_the_others_are_read() {
        let log = log();
        let whole = read(log.as_slice()).unwrap();
        assert_eq!((whole.0.len(), whole.1), (3, Tail::Whole));
        let second = log.iter().position(|b| *b == b'\n').unwrap() + 1;
        let third = second + log[second..].iter().position(|b| *b == b'\n').unwrap() + 1;
        for end in third + 1..log.len() - 1 {
            let (records, tail) = read(&log[..end]).unwrap();
            assert_eq!(
                (records.as_slice(), tail),
                (&whole.0[..2], Tail::Torn),
                "cut at {end}"
            );
        }
        // Only the line break is missing: nothing is lost.
        assert_eq!(read(&log[..log.len() - 1]).unwrap().0, whole.0);
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error_with_its_number() {
        let mut log = log();
        let second = log.iter().position(|b| *b == b'\n').unwrap() + 1;
        log[second] = b'?';
        assert!(matches!(
            read(log.as_slice()),
            Err(ReadError::Line { line: 2, .. })
        ));
    }

    #[test]
    fn another_format_is_refused() {
        let log = String::from_utf8(log()).unwrap();
        let log = log.replace("\"format\":1", "\"format\":99");
        assert!(matches!(
            read(log.as_bytes()),
            Err(ReadError::Format { found: 99 })
        ));
    }
}
