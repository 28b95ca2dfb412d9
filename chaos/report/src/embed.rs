//! The run log inside the page, so that the console can import a report again.

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::ReportError;

/// How long the embedded log may be as text, of a page of 1.5 MB at most.
const ROOM: usize = 650_000;

/// The log, compressed, as text; and what it lacks, in words.
pub(crate) struct Embedded {
    pub(crate) base64: String,
    pub(crate) lacks: Option<&'static str>,
}

/// What is left out until it fits: nothing, histograms, seconds. What is left is a
/// run log all the same.
const LEVELS: [Option<&str>; 3] = [
    None,
    Some("without its latency histograms, which were too large for this page"),
    Some(
        "without its seconds, which were too large for this page: events, facts and usage are there",
    ),
];

pub(crate) fn log(path: &Path) -> Result<Embedded, ReportError> {
    let text = std::fs::read_to_string(path).map_err(|e| ReportError::io(path, e))?;
    for (level, lacks) in LEVELS.into_iter().enumerate() {
        let base64 = packed(&text, level).map_err(|e| ReportError::io(path, e))?;
        if base64.len() <= ROOM {
            return Ok(Embedded { base64, lacks });
        }
    }
    let lacks = Some("too large for this page: it is in run.ndjson beside it");
    Ok(Embedded {
        base64: String::new(),
        lacks,
    })
}

fn packed(text: &str, level: usize) -> std::io::Result<String> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    for line in text.lines() {
        if level == 0 {
            writeln!(gzip, "{line}")?;
        } else if let Some(less) = reduced(line, level) {
            writeln!(gzip, "{less}")?;
        }
    }
    Ok(STANDARD.encode(gzip.finish()?))
}

fn reduced(line: &str, level: usize) -> Option<String> {
    let mut entry: Value = serde_json::from_str(line).ok()?;
    if entry.get("type").and_then(Value::as_str) != Some("frame") {
        return Some(line.to_owned());
    }
    if level > 1 {
        return None;
    }
    for cells in ["cells", "links"] {
        for cell in entry
            .get_mut(cells)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(hdr) = cell.get_mut("hdr") {
                *hdr = Value::String(String::new());
            }
        }
    }
    Some(entry.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn unpacked(base64: &str) -> String {
        let bytes = STANDARD.decode(base64).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn a_log_is_kept_whole_or_loses_what_is_said() {
        let frame = r#"{"type":"frame","cells":[{"op":"order","hdr":"abc"}],"links":[]}"#;
        let end = r#"{"type":"end","stopped":null}"#;
        let text = format!("{frame}\n{end}\n");
        let at = |level| unpacked(&packed(&text, level).unwrap());
        assert_eq!(at(0), text);
        assert!(at(1).contains(r#""hdr":"""#) && at(1).contains("order"));
        assert_eq!(at(2), format!("{end}\n"));
    }
}
