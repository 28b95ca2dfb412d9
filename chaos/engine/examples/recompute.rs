//! `cargo run --release -p chaos-engine --example recompute -- DIR`: every figure of a run's
//! `result.json` beside what its `requests.csv.zst` and `decisions.jsonl` come to. Exit 1 on a
//! difference, 3 when the folder can't be read.

use std::path::Path;
use std::process::ExitCode;

use chaos_engine::recompute::{Compared, ELSEWHERE, compared};

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: recompute DIR");
        return ExitCode::from(3);
    };
    match compared(Path::new(&dir)) {
        Ok(all) => table(&all),
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(3)
        }
    }
}

fn table(all: &[Compared]) -> ExitCode {
    let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.6}"));
    println!("arm, repeat, phase, figure: from result.json, recomputed");
    for c in all {
        let mark = if c.agrees() { "" } else { "  DIFFERS" };
        let place = format!("{} {} {} {}", c.arm, c.repeat, c.phase, c.figure);
        let (stated, again) = (number(c.stated), number(c.recomputed));
        println!("{place:<60} {stated:>18} {again:>18}{mark}");
    }
    let differ = all.iter().filter(|c| !c.agrees()).count();
    println!("{} figures, {differ} differ", all.len());
    println!("in run.ndjson alone: {}", ELSEWHERE.join(", "));
    ExitCode::from(u8::from(differ > 0))
}
