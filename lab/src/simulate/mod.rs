//! `lab simulate`: the same policy code in virtual time.

mod args;
mod picture;

use anyhow::Result;
use chaos_sim::{Run, Scenario};

use crate::cli::Global;
use crate::exit::Exit;
use crate::place::Place;
use crate::text;

pub use args::SimulateArgs;
use picture::Picture;

/// `lab simulate`: runs a scenario, or lists them.
///
/// # Errors
/// When a parameter makes no sense, or the picture can't be drawn or written.
pub fn run(global: &Global, args: SimulateArgs) -> Result<Exit> {
    let Some(command) = args.scenario else {
        list();
        return Ok(Exit::Held);
    };
    let output = args.output;
    let scenario = Scenario::from(command);
    let picture = Picture::find(&output, scenario.name(), Place::resolve(global))?;
    let outcome = scenario.run(&Run::new(output.seed))?;
    if output.json {
        print!("{}", outcome.json());
    } else {
        print!("{}", outcome.text());
    }
    picture.draw(&outcome)?;
    Ok(Exit::Held)
}

fn list() {
    let mut rows = vec![text::row(["scenario", "shows"])];
    for entry in chaos_sim::catalogue() {
        rows.push(text::row([entry.name, entry.shows]));
    }
    print!("{}", text::table(&rows));
    println!(
        "\nrun one with `lab simulate NAME`; --json prints rows, --svg FILE says where the picture \
         goes, `lab simulate NAME --help` tells its parameters"
    );
}
