//! `lab chaos`: list, check and run scenarios.

pub mod catalogue;
mod map;
mod rerun;
mod run;
mod session;
mod summary;
pub mod target;
mod watch;

use anyhow::Result;

use crate::cli::{ChaosCommand, Global};
use crate::exit::Exit;
use crate::place::Place;
use crate::supervisor::Spawner;

/// `lab chaos …`
///
/// # Errors
/// When a scenario can't be found or read, or a run can't be made.
pub async fn dispatch(spawner: &Spawner, global: &Global, command: &ChaosCommand) -> Result<Exit> {
    let place = Place::resolve(global)?;
    match command {
        ChaosCommand::List => catalogue::list(&place),
        ChaosCommand::Check { scenarios } => catalogue::check(&place, scenarios),
        ChaosCommand::Run(args) if args.map => {
            Box::pin(map::run(spawner, global, &place, args)).await
        }
        ChaosCommand::Run(args) => Box::pin(run::run(spawner, global, &place, args)).await,
        ChaosCommand::Rerun(args) => Box::pin(rerun::run(spawner, global, &place, args)).await,
    }
}
