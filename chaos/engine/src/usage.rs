//! What the parts use of the machine: CPU time by process, where `/proc` tells.

use std::collections::BTreeMap;

use crate::runlog::Environment;

/// What a process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Which process.
    pub pid: u32,
    /// Its CPU time so far, in microseconds.
    pub spent_us: u64,
}

/// The CPU time of each part's process; processes that the system says nothing about
/// are left out.
#[must_use]
pub fn cpu(pids: &BTreeMap<String, u32>) -> BTreeMap<String, Cpu> {
    let of = |(part, &pid): (&String, &u32)| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let spent_us = ticks(&stat)? * 1_000_000 / per_second;
        Some((part.clone(), Cpu { pid, spent_us }))
    };
    pids.iter().filter_map(of).collect()
}

/// The difference between two readings, for parts that are in both. Of a part that was
/// started anew in between it is what the new process has used.
#[must_use]
pub fn between(
    before: &BTreeMap<String, Cpu>,
    after: &BTreeMap<String, Cpu>,
) -> BTreeMap<String, u64> {
    let spent = |(part, end): (&String, &Cpu)| {
        let begin = before.get(part)?;
        let used = if begin.pid == end.pid {
            end.spent_us.saturating_sub(begin.spent_us)
        } else {
            end.spent_us
        };
        Some((part.clone(), used))
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
    fn only_parts_in_both_readings_count_and_a_new_process_from_its_start() {
        let of = |readings: &[(&str, u32, u64)]| {
            let reading = |(part, pid, spent_us): &(&str, u32, u64)| {
                let (pid, spent_us) = (*pid, *spent_us);
                ((*part).to_owned(), Cpu { pid, spent_us })
            };
            readings.iter().map(reading).collect::<BTreeMap<_, _>>()
        };
        let before = of(&[("a", 1, 5), ("b", 2, 7), ("d", 4, 10)]);
        let after = of(&[("a", 1, 9), ("c", 3, 1), ("d", 5, 12)]);
        let spent = [("a".to_owned(), 4), ("d".to_owned(), 12)];
        assert_eq!(between(&before, &after), BTreeMap::from(spent));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_some() {
        let me = BTreeMap::from([("me".to_owned(), std::process::id())]);
        assert!(cpu(&me).contains_key("me"));
        assert!(memory().is_some_and(|m| m > 1 << 20));
    }
}
