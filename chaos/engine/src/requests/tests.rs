use super::*;
use crate::synthetic::{self, Model};

fn rows(dir: &Path) -> Vec<Row> {
    read(&dir.join(FILE)).unwrap().map(|r| r.unwrap()).collect()
}

#[test]
fn a_row_says_what_became_of_a_request() {
    let dir = synthetic::folder(&Model {
        refusal_ms: 3,
        ..Model::default()
    });
    let rows = rows(dir.path());
    let refused = rows.iter().find(|r| r.refused).unwrap();
    assert_eq!((refused.arm.as_str(), refused.op), ("fast", Op::Order));
    assert_eq!((refused.status, refused.outcome), (503, Outcome::Rejected));
    assert_eq!(refused.faults().collect::<Vec<_>>(), ["outage"]);
    assert_eq!((refused.phase, refused.retry_after), (Phase::During, true));
    assert_eq!(refused.priority.as_deref(), Some("critical"));
    assert_eq!(
        (refused.stream.as_str(), refused.error.as_deref()),
        ("0", None)
    );
    assert_eq!(refused.ended_us - refused.scheduled_us, 3_000);
    let before = rows.iter().find(|r| r.phase == Phase::Before).unwrap();
    assert_eq!(before.faults().count(), 0);
}

#[test]
fn names_and_errors_survive_whatever_is_in_them() {
    let made = synthetic::make(&Model {
        quick: true,
        repeats: 1,
        ..Model::default()
    });
    let (trial, mut counted) = made.rows[0].clone();
    counted.record.error = Some("broken: \"a, b\"\nand more".to_owned());
    counted.faults = vec!["one".to_owned(), "two".to_owned()];
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(&dir.path().join(FILE)).unwrap();
    writer.write(&trial, &counted).unwrap();
    writer.finish().unwrap();
    let read = rows(dir.path());
    assert_eq!(read, [Row::new(&trial, &counted)]);
    assert_eq!(read[0].faults().collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_file_that_is_none_is_an_error_and_not_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    std::fs::write(&path, b"trial,arm\n0,fast\n").unwrap();
    assert!(read(&path).is_err());
    // One that was cut off.
    let whole = synthetic::folder(&Model {
        quick: true,
        repeats: 1,
        ..Model::default()
    });
    let bytes = std::fs::read(whole.path().join(FILE)).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    assert!(read(&path).unwrap().any(|row| row.is_err()));
    assert!(read(&dir.path().join("missing")).is_err());
}
