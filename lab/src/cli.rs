//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::certs::CertsArgs;
use crate::fault::FaultCommand;
use crate::load::LoadArgs;
use crate::replicas;
use crate::report::ReportArgs;
use crate::runs::RunsCommand;
use crate::simulate::SimulateArgs;

/// What a user can ask of the lab.
#[derive(Debug, Parser)]
#[command(
    name = "lab",
    version,
    about = "Faultline: a real three-service shop that you break on purpose, and that tells you, \
             with numbers, what your retries, back-off and circuit breakers did.",
    after_help = "Exit status: 0 all held, 1 a check failed, 2 inconclusive, 3 the lab itself could not run.",
    arg_required_else_help = true
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command; together they choose the lab.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Folder of this lab's databases, logs and secrets [default: target/lab]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Move all ports to N…N+63 (the gateway takes N), so that two labs run side by side
    #[arg(long, global = true, value_name = "N")]
    pub port_base: Option<u16>,
    /// Take the parts' programs from here and build nothing
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "LAB_BIN_DIR",
        hide = true
    )]
    pub bin_dir: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build what is stale, start everything, wait for health; Ctrl-C stops all
    Up(UpArgs),
    /// Stop the lab that runs with this data folder
    Down,
    /// What runs, where, and how healthy (exit 3 when nothing runs)
    Status(StatusArgs),
    /// Restart parts of the running lab; with --rolling one replica after the other, so that no
    /// request fails
    Restart(RestartArgs),
    /// Check this machine: tools, real servers, ports, disk; says how to mend what is missing
    Doctor,
    /// Show the logs of the parts
    Logs(LogsArgs),
    /// The mails about orders that the running lab has delivered into its outbox folder, newest last
    Outbox(OutboxArgs),
    /// The current code of a 2FA secret, for trying 2FA without a phone
    Totp {
        /// The `secret_key` of the 2FA set-up (base32)
        secret: String,
    },
    /// Make a development CA and a certificate for each part, for TLS and mutual TLS
    Certs(CertsArgs),
    /// List, check and run scenarios
    #[command(subcommand)]
    Chaos(ChaosCommand),
    /// Faults by hand on the running lab: what is in force, another, none
    #[command(subcommand)]
    Fault(FaultCommand),
    /// Policies of the running lab by hand: which sits in each slot, and another in its place
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Serve a run's report, or compare two runs
    Report(ReportArgs),
    /// List the folders that runs have left, or remove old ones
    #[command(subcommand)]
    Runs(RunsCommand),
    /// The same policy code in virtual time: what takes hours takes seconds, and repeats exactly
    Simulate(SimulateArgs),
    /// Load alone, open-loop or closed: latency table, HDR histogram files, JSON
    Load(Box<LoadArgs>),
    /// Run every test that this machine can run, and name what was left out
    Test(TestArgs),
    /// List this lab's data and remove it (asks first on a terminal)
    Clean(CleanArgs),
    /// Ties a child to its parent's life, then becomes the program (not for people).
    #[command(name = "__shim", hide = true)]
    Shim(ShimArgs),
}

/// `lab up`
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Remove the databases of this data folder first
    #[arg(long)]
    pub fresh: bool,
    /// Return when all is healthy and leave the lab running (`lab down` stops it)
    #[arg(long)]
    pub detach: bool,
    /// So many processes of a service, as in product-service=2,user-service=2
    #[arg(long, value_delimiter = ',', value_name = "SERVICE=N", value_parser = replicas::parse)]
    pub replicas: Vec<(String, u32)>,
    /// This process is the detached one.
    #[arg(long, hide = true, conflicts_with = "detach")]
    pub background: bool,
}

/// `lab status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON: {"parts":[{"name","kind","url","grpc","metrics","control","pid","healthy"}]}
    #[arg(long)]
    pub json: bool,
}

/// `lab restart`
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Parts, such as gateway or product-service.2; with --rolling services [default with
    /// --rolling: all that have replicas]
    #[arg(value_name = "PART", required_unless_present = "rolling")]
    pub parts: Vec<String>,
    /// Every replica of the services, one after the other
    #[arg(long)]
    pub rolling: bool,
}

/// `lab logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// gateway, user-service, product-service, payment-service, order-service (second ones: product-service.2) or toxiproxy [default: all]
    pub part: Option<String>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the last lines of each part to show
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    pub lines: usize,
}

/// `lab outbox`
#[derive(Debug, Args)]
pub struct OutboxArgs {
    /// Only the newest N [default: all]
    #[arg(short = 'n', long, value_name = "N")]
    pub newest: Option<usize>,
    /// Print JSON: {"mails":[{"event","delivered","to","subject","text"}]}
    #[arg(long)]
    pub json: bool,
}

/// `lab chaos …`
#[derive(Debug, Subcommand)]
pub enum ChaosCommand {
    /// Every scenario: name, what it shows, how long it takes
    List,
    /// Validate scenario files without running them; errors carry line and column
    Check {
        /// Scenario files or names
        #[arg(required = true, value_name = "FILE")]
        scenarios: Vec<String>,
    },
    /// Run a scenario on a shop of its own, and say whether its checks held
    Run(RunArgs),
    /// Run again what a run folder's log says, with its seed, and compare what was decided
    Rerun(RerunArgs),
}

/// What a scenario is run on; a shop of its own, unless said otherwise.
#[derive(Clone, Debug, Default, Args)]
pub struct GroundArgs {
    /// Use the lab that is running instead of a shop of its own; its policies come back afterwards
    #[arg(long, conflicts_with = "target")]
    pub attach: bool,
    /// Use the system that this file describes
    #[arg(long, value_name = "FILE")]
    pub target: Option<PathBuf>,
    /// The target is not on this machine, and breaking it is allowed
    #[arg(long, requires = "target")]
    pub i_may_break_this: bool,
}

/// `lab chaos rerun`
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// The run's folder
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    #[command(flatten)]
    pub ground: GroundArgs,
    /// Where to write [default: target/lab/runs/<time>-<scenario>-again]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `lab chaos run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A scenario's name, a scenario file, or `all`
    #[arg(value_name = "NAME|FILE|all")]
    pub scenario: String,
    /// Run only these arms; checks about others stay undecided, so the run is inconclusive
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub arms: Vec<String>,
    /// How often to repeat every arm
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeats: Option<u32>,
    /// Seed of the load; the same seed gives the same requests
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Shorter phases and fewer repeats, from the file's [quick] table
    #[arg(long)]
    pub quick: bool,
    /// Without what its checks are about, as [negative_control] says: held when they don't hold
    #[arg(long)]
    pub negative_control: bool,
    /// A seeded defect that the shop has during the run, again for another: docs/INTEGRITY.md
    #[arg(long = "defect", value_name = "NAME", conflicts_with_all = ["negative_control", "map"])]
    pub defects: Vec<String>,
    /// Measure the points of the file's [map], one run each, and draw them over the simulator's map
    #[arg(long, conflicts_with = "negative_control")]
    pub map: bool,
    #[command(flatten)]
    pub ground: GroundArgs,
    /// Where to write [default: target/lab/runs/<time>-<scenario>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `lab policy …`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Every slot with its policy and where its breaker, budget or limit stands; one with all fields
    Show(ShowPolicyArgs),
    /// Put another policy into a slot; no call is lost
    Set(SetPolicyArgs),
}

/// `lab policy show`
#[derive(Debug, Args)]
pub struct ShowPolicyArgs {
    /// A slot, such as order-product or product.server [default: all]
    pub slot: Option<String>,
    /// Print JSON: each slot's policy with all its fields
    #[arg(long)]
    pub json: bool,
}

/// `lab policy set`
#[derive(Debug, Args)]
pub struct SetPolicyArgs {
    /// The slot, such as order-product or product.server
    pub slot: String,
    /// A preset's name, or a policy as JSON (a list of {"weight", "policy"} splits the traffic)
    pub policy: String,
    /// Changes of the preset, such as breaker=off or retry.max_attempts=4
    #[arg(value_name = "FIELD=VALUE")]
    pub changes: Vec<String>,
}

/// `lab test`
#[derive(Debug, Args)]
pub struct TestArgs {
    /// lint, pages, unit, conformance, system, scenario, integrity [default: all]
    #[arg(value_name = "PART")]
    pub parts: Vec<String>,
    /// Count whatever was left out as a failure
    #[arg(long)]
    pub require_all: bool,
    /// The long counts too: the night's numbers of the tests that have some, every scenario live,
    /// and the negative control of each
    #[arg(long)]
    pub night: bool,
    /// Instead of the parts: how much of the code the unit tests reach, as a table and as HTML
    #[arg(long, conflicts_with = "parts")]
    pub coverage: bool,
}

/// `lab clean`
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Also the runs, the shared keys and the data of every other --port-base
    #[arg(long)]
    pub all: bool,
    /// Remove without asking
    #[arg(short, long)]
    pub yes: bool,
}

/// `lab __shim PARENT -- PROGRAM ARGS…`
#[derive(Debug, Args)]
pub struct ShimArgs {
    /// The process that must still be the parent.
    pub parent: i32,
    /// The program to become, and its arguments.
    #[arg(last = true, required = true)]
    pub program: Vec<std::ffi::OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_lab_is_chosen_before_or_after_the_command() {
        for line in [
            ["lab", "--port-base", "30000", "down"],
            ["lab", "down", "--port-base", "30000"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.global.port_base, Some(30_000));
        }
    }

    #[test]
    fn a_server_that_is_not_embedded_cannot_be_asked_for_yet() {
        assert!(Cli::try_parse_from(["lab", "up", "--real"]).is_err());
    }
}
