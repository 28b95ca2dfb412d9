//! `lab fault`: faults by hand on a lab that runs.

mod clear;
mod hold;
mod list;
mod words;

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::controls::Controls;
use crate::exit::Exit;
use crate::place::Place;

/// `lab fault …`
#[derive(Debug, Subcommand)]
pub enum FaultCommand {
    /// What is in force, with the time left and what it acted on
    List(ListArgs),
    /// Put a fault in force, and keep it so until Ctrl-C or --for
    Add(AddArgs),
    /// Take faults away
    Clear(ClearArgs),
}

/// `lab fault list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `lab fault add`
#[derive(Debug, Args)]
#[command(after_help = words::HELP)]
pub struct AddArgs {
    /// The link, such as order-product (order-product.2 for one replica) or product-cache
    pub link: String,
    /// What it does: down, latency=800, fail=20%, delay=800ms … with further FIELD=VALUE
    #[arg(
        value_name = "ACTION",
        required_unless_present = "action",
        conflicts_with = "action"
    )]
    pub words: Vec<String>,
    /// The action as in a scenario file, such as '{ fail = { share = 0.2, status = "INTERNAL" } }'
    #[arg(long, value_name = "TOML")]
    pub action: Option<String>,
    /// How long [default: until Ctrl-C]
    #[arg(long = "for", value_name = "D", value_parser = humantime::parse_duration)]
    pub lasts: Option<Duration>,
    /// What to call it [default: hand-<number>]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Only this gRPC method, or REST route as in "GET /api/products/{id}/" (may be repeated)
    #[arg(long = "method", value_name = "METHOD")]
    pub methods: Vec<String>,
    /// Only requests of this caller, such as order (may be repeated)
    #[arg(long = "caller", value_name = "CALLER")]
    pub callers: Vec<String>,
    /// Only requests of the user with this id (may be repeated)
    #[arg(long = "user", value_name = "ID")]
    pub users: Vec<i64>,
    /// Where the draws come from: the same seed and name hit the same requests
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
}

/// `lab fault clear`
#[derive(Debug, Args)]
pub struct ClearArgs {
    /// The fault's name, or a link: everything on it
    #[arg(value_name = "NAME|LINK", required_unless_present = "all")]
    pub what: Option<String>,
    /// Every fault, toxic and link that is down
    #[arg(long, conflicts_with = "what")]
    pub all: bool,
}

/// Runs one of the three.
///
/// # Errors
/// When no lab runs, or the fault can't be had.
pub async fn run(place: &Place, command: &FaultCommand) -> Result<Exit> {
    let controls = Controls::of_running(place)?;
    match command {
        FaultCommand::List(args) => list::run(&controls, args.json).await?,
        FaultCommand::Add(args) => hold::run(&controls, args).await?,
        FaultCommand::Clear(args) => clear::run(&controls, args).await?,
    }
    Ok(Exit::Held)
}
