//! The `lab` command: starts and stops the shop, breaks it on purpose, and measures.

mod certs;
mod chaos;
mod clean;
mod cli;
mod compile;
mod controls;
mod doctor;
mod down;
mod exit;
mod fault;
mod ground;
mod health;
mod holder;
mod interrupt;
mod links;
mod load;
mod logs;
mod outbox;
mod parts;
mod place;
mod policy;
mod ports;
mod processes;
mod progress;
mod replicas;
mod report;
mod restart;
mod runs;
mod secrets;
mod shim;
mod shop;
mod simulate;
mod state;
mod status;
mod supervisor;
mod testing;
mod text;
mod totp;
mod up;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use clap::error::ErrorKind;

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::place::Place;
use crate::ports::Layout;
use crate::supervisor::Spawner;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    run(cli).unwrap_or_else(|error| complain(&error)).into()
}

/// Help is no failure; a wrong command line is a lab that could not run.
fn usage(error: &clap::Error) -> Exit {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Held,
        _ => Exit::CannotRun,
    }
}

/// Tells an error with its causes.
fn complain(error: &anyhow::Error) -> Exit {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    Exit::CannotRun
}

fn run(cli: Cli) -> Result<Exit> {
    match &cli.command {
        // Before any thread exists: the shim only turns into another program.
        Command::Shim(args) => return shim::run(args).map(|()| Exit::Held),
        Command::Up(args) if args.background => {
            rustix::process::setsid().context("a session of its own")?;
        }
        _ => {}
    }
    // `block_on` polls its future on this thread, the main one: children are spawned from here.
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime")?
        .block_on(dispatch(cli))
}

async fn dispatch(cli: Cli) -> Result<Exit> {
    let spawner = Spawner::on_main_thread();
    let global = &cli.global;
    let place = || Place::resolve(global);
    match cli.command {
        Command::Up(args) => Box::pin(up::run(&spawner, global, &args)).await,
        Command::Down => down::run(&place()?).await,
        Command::Status(args) => status::run(&place()?, args.json).await,
        Command::Restart(args) => restart::run(&place()?, &args).await,
        Command::Doctor => doctor::run(&place()?, Layout::new(global.port_base)?).await,
        Command::Load(args) => Box::pin(load::run(&spawner, global, &args)).await,
        Command::Test(args) => testing::run(global, &args).await,
        Command::Clean(args) => clean::run(&place()?, &args),
        Command::Simulate(args) => simulate::run(global, args),
        Command::Fault(command) => Box::pin(fault::run(&place()?, &command)).await,
        Command::Policy(command) => policy::run(&place()?, &command).await,
        Command::Report(args) => report::run(&args).await,
        Command::Runs(command) => runs::run(&place()?, &command),
        Command::Logs(args) => logs::show(&place()?, &args).await,
        Command::Outbox(args) => outbox::run(&place()?, &args),
        Command::Totp { secret } => totp::run(&secret),
        Command::Certs(args) => certs::run(&args, &place()?.data).map(|()| Exit::Held),
        Command::Shim(args) => shim::run(&args).map(|()| Exit::Held),
        Command::Chaos(command) => chaos::dispatch(&spawner, global, &command).await,
    }
}
