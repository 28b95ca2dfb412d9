//! Runs a scenario with its default parameters: `cargo run -p chaos-sim --example simulate NAME
//! [SEED] [SVG-FILE]`. The whole command line is that of `lab simulate`.

use chaos_sim::{Run, catalogue};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for entry in catalogue() {
            println!("{:<14} {}", entry.name, entry.shows);
        }
        return Ok(());
    };
    let seed = arguments.next().map_or(Ok(42), |seed| seed.parse())?;
    let known = catalogue().into_iter().find(|entry| entry.name == name);
    let entry = known.ok_or_else(|| format!("there is no scenario {name:?}"))?;
    let outcome = entry.scenario.run(&Run::new(seed))?;
    print!("{}", outcome.text());
    if let Some(file) = arguments.next() {
        std::fs::write(file, outcome.svg()?)?;
    }
    Ok(())
}
