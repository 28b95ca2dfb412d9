//! What the parts use of the machine: CPU time by process, where `/proc` tells.

use std::collections::BTreeMap;

use crate::runlog::Environment;

/// The CPU time of each process so far, in microseconds; processes that the
/// system says nothing about are left out.
#[must_use]
pub fn cpu_us(pids: &BTreeMap<String, u32>) -> BTreeMap<String, u64> {
    let of = |(part, pid): (&String, &u32)| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let ticks = ticks(&stat)?;
        let per_second = rustix::param::clock_ticks_per_second();
        Some((part.clone(), ticks * 1_000_000 / per_second.max(1)))
    };
    pids.iter().filter_map(of).collect()
}

/// The difference between two readings, for parts that are in both.
#[must_use]
pub fn between(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let spent = |(part, end): (&String, &u64)| {
        let begin = before.get(part)?;
        Some((part.clone(), end.saturating_sub(*begin)))
    };
    after.iter().filter_map(spent).collect()
}

/// utime + stime of a line of `/proc/PID/stat` (proc(5): fields 14 and 15). The
/// command's name may hold blanks and brackets, so fields count from its end.
fn ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok());
    Some(field(11)? + field(12)?)
}

/// The machine and the target's kind.
#[must_use]
pub fn environment(kind: &str, started_at: String) -> Environment {
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kind: kind.to_owned(),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cores: loadtest::clock::cores(),
        memory_bytes: memory(),
        started_at,
    }
}

fn memory() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_survive_odd_names() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 17 4 0 0 20 0 1 0 1 1 1";
        assert_eq!(ticks(stat), Some(21));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn only_parts_in_both_readings_count() {
        let of = |pairs: &[(&str, u64)]| {
            pairs
                .iter()
                .map(|(p, v)| ((*p).to_owned(), *v))
                .collect::<BTreeMap<_, _>>()
        };
        let spent = between(&of(&[("a", 5), ("b", 7)]), &of(&[("a", 9), ("c", 1)]));
        assert_eq!(spent, of(&[("a", 4)]));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_some() {
        let me = BTreeMap::from([("me".to_owned(), std::process::id())]);
        assert!(cpu_us(&me).contains_key("me"));
        assert!(memory().is_some_and(|m| m > 1 << 20));
    }
}
