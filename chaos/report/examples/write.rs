//! Writes `report.html` for run folders: `cargo run -p chaos-report --example write -- DIR…`

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    for dir in std::env::args().skip(1) {
        match chaos_report::write(Path::new(&dir)) {
            Ok(path) => println!("{}", path.display()),
            Err(e) => {
                eprintln!("{e}");
                return ExitCode::from(3);
            }
        }
    }
    ExitCode::SUCCESS
}
