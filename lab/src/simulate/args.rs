//! The command line of `lab simulate`: a subcommand each, so that every scenario has its own flags
//! and its own help. Ranges are checked by the simulator, which knows them.

use std::path::PathBuf;
use std::time::Duration;

use chaos_sim::Scenario;
use chaos_sim::scenarios::{
    amplification, budgets, detection, herd, jitter, metastable, overload, tail,
};
use clap::{Args, Subcommand};

/// `lab simulate`
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// What is shared by all scenarios.
    #[command(flatten)]
    pub output: Output,
    /// Which one [default: list them]
    #[command(subcommand)]
    pub scenario: Option<SimulateCommand>,
}

/// Options of every scenario.
#[derive(Debug, Args)]
pub struct Output {
    /// Decides over everything left to chance; the same seed prints the same bytes
    #[arg(long, global = true, default_value_t = 42, value_name = "S")]
    pub seed: u64,
    /// Print rows as JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
    /// Where to draw the picture [default: simulations/NAME.svg in the data folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Draw no picture
    #[arg(long, global = true, conflicts_with = "svg")]
    pub no_svg: bool,
}

/// The scenarios and their parameters. Lists take commas, or the flag again.
#[derive(Debug, Subcommand)]
pub enum SimulateCommand {
    /// Contention for one row: time and calls by kind of jitter (AWS 2015)
    Jitter {
        /// Clients that contend, 1 to 1000 [default: 10,50,100]
        #[arg(long, value_name = "N", value_delimiter = ',')]
        clients: Vec<u32>,
        /// How often each is repeated, 1 to 100000 [default: 1000]
        #[arg(long, value_name = "N")]
        repetitions: Option<u32>,
    },
    /// Load and success of retries, in one layer or several: closed forms (SRE book)
    Amplification {
        /// Share of attempts that fail, 0 to 1 [default: 0.1,0.25,0.5,0.75,0.9,1]
        #[arg(long, value_name = "P", value_delimiter = ',')]
        failure: Vec<f64>,
        /// Attempts of each layer, 1 to 10 [default: 3,4]
        #[arg(long, value_name = "N", value_delimiter = ',')]
        attempts: Vec<u32>,
        /// Layers that retry, 1 to 5 [default: 1,2,3]
        #[arg(long, value_name = "L", value_delimiter = ',')]
        layers: Vec<u32>,
        /// Calls into the outermost layer, 100 to 10000000 [default: 20000]
        #[arg(long, value_name = "N")]
        calls: Option<u32>,
    },
    /// Load and success of retries under a budget: closed forms, and five kinds beside fixed retries
    Budgets {
        /// Share of attempts that fail, 0 to 1 [default: 0.02,0.05,0.1,0.2,0.35,0.5,0.75,1]
        #[arg(long, value_name = "P", value_delimiter = ',')]
        failure: Vec<f64>,
        /// Attempts of a call, 2 to 10 [default: 4]
        #[arg(long, value_name = "N")]
        attempts: Option<u32>,
        /// Calls that are counted for each, 1000 to 10000000 [default: 50000]
        #[arg(long, value_name = "N")]
        calls: Option<u32>,
    },
    /// Calls until a breaker opens, by failure share: closed forms (Feller)
    Detection {
        /// Share of calls that fail, 0.001 to 1 [default: 0.1,0.3,0.5,0.7,0.9,1]
        #[arg(long, value_name = "P", value_delimiter = ',')]
        failure: Vec<f64>,
        /// Failures in a row that open it, 1 to 50 [default: 5]
        #[arg(long, value_name = "N", value_delimiter = ',')]
        consecutive: Vec<u32>,
        /// Calls of a count window, 2 to 1000 [default: 20]
        #[arg(long, value_name = "N", value_delimiter = ',')]
        window: Vec<u32>,
        /// Share of failures in a window that opens it, 0.01 to 1 [default: 0.5]
        #[arg(long, value_name = "P", value_delimiter = ',')]
        threshold: Vec<f64>,
        /// Breakers watched for each, 10 to 1000000 [default: 1000]
        #[arg(long, value_name = "N")]
        repetitions: Option<u32>,
    },
    /// Clients that come back after an outage: the peak with and without jitter
    Herd {
        /// How many lost the server, 10 to 200000 [default: 10000]
        #[arg(long, value_name = "N")]
        clients: Option<u32>,
        /// How long it is down, 1s to 10m [default: 30s]
        #[arg(long, value_name = "D", value_parser = humantime::parse_duration)]
        outage: Option<Duration>,
    },
    /// Overload that outlives its trigger: map of load and trigger, by policy
    Metastable {
        /// Offered load as share of capacity, 0.05 to 2 [default: 0.2 to 0.9, and 1.1]
        #[arg(long, value_name = "R", value_delimiter = ',')]
        load: Vec<f64>,
        /// How long the server stands still, 0 to 30 seconds [default: 0,0.1,0.2,0.3,0.5,1,2,5]
        #[arg(long, value_name = "S", value_delimiter = ',')]
        trigger: Vec<f64>,
        /// How often each is repeated, 1 to 1000 [default: 3]
        #[arg(long, value_name = "N")]
        repetitions: Option<u32>,
    },
    /// Goodput against offered load, by the server's limiter
    Overload {
        /// Offered load as share of capacity, 0.05 to 10 [default: 0.2 to 3]
        #[arg(long, value_name = "R", value_delimiter = ',')]
        load: Vec<f64>,
        /// Requests a second that the server can do, 50 to 5000 [default: 800]
        #[arg(long, value_name = "N")]
        capacity: Option<f64>,
        /// How long callers wait for an answer, 50ms to 2s [default: 250ms]
        #[arg(long, value_name = "D", value_parser = humantime::parse_duration)]
        timeout: Option<Duration>,
        /// How long each load is watched, 5s to 10m [default: 20s]
        #[arg(long, value_name = "D", value_parser = humantime::parse_duration)]
        duration: Option<Duration>,
    },
    /// Slow servers in a fan-out, and hedging against them (The Tail at Scale)
    Tail {
        /// Calls of each request, 1 to 10000 [default: 100]
        #[arg(long, value_name = "N")]
        fanout: Option<u32>,
        /// Share of calls that meet a stalled server, 0 to 0.5 [default: 0.01]
        #[arg(long, value_name = "P")]
        slow_share: Option<f64>,
        /// How long it stalls, 200 to 60000 ms [default: 1000]
        #[arg(long, value_name = "MS")]
        slow_ms: Option<u32>,
        /// Calls with each policy, 10000 to 20000000 [default: 800000]
        #[arg(long, value_name = "N")]
        calls: Option<u32>,
    },
}

impl From<SimulateCommand> for Scenario {
    fn from(command: SimulateCommand) -> Self {
        match command {
            SimulateCommand::Jitter {
                clients,
                repetitions,
            } => {
                let default = jitter::Params::default();
                Self::Jitter(jitter::Params {
                    clients: given(clients, default.clients),
                    repetitions: repetitions.unwrap_or(default.repetitions),
                })
            }
            SimulateCommand::Amplification {
                failure,
                attempts,
                layers,
                calls,
            } => {
                let default = amplification::Params::default();
                Self::Amplification(amplification::Params {
                    failure: given(failure, default.failure),
                    attempts: given(attempts, default.attempts),
                    layers: given(layers, default.layers),
                    calls: calls.unwrap_or(default.calls),
                })
            }
            SimulateCommand::Budgets {
                failure,
                attempts,
                calls,
            } => {
                let default = budgets::Params::default();
                Self::Budgets(budgets::Params {
                    failure: given(failure, default.failure),
                    attempts: attempts.unwrap_or(default.attempts),
                    calls: calls.unwrap_or(default.calls),
                })
            }
            SimulateCommand::Detection {
                failure,
                consecutive,
                window,
                threshold,
                repetitions,
            } => {
                let default = detection::Params::default();
                Self::Detection(detection::Params {
                    failure: given(failure, default.failure),
                    consecutive: given(consecutive, default.consecutive),
                    window: given(window, default.window),
                    threshold: given(threshold, default.threshold),
                    repetitions: repetitions.unwrap_or(default.repetitions),
                })
            }
            SimulateCommand::Herd { clients, outage } => {
                let default = herd::Params::default();
                Self::Herd(herd::Params {
                    clients: clients.unwrap_or(default.clients),
                    outage: outage.unwrap_or(default.outage),
                })
            }
            SimulateCommand::Metastable {
                load,
                trigger,
                repetitions,
            } => {
                let default = metastable::Params::default();
                Self::Metastable(metastable::Params {
                    loads: given(load, default.loads),
                    triggers: given(trigger, default.triggers),
                    repetitions: repetitions.unwrap_or(default.repetitions),
                })
            }
            SimulateCommand::Overload {
                load,
                capacity,
                timeout,
                duration,
            } => {
                let default = overload::Params::default();
                Self::Overload(overload::Params {
                    loads: given(load, default.loads),
                    capacity: capacity.unwrap_or(default.capacity),
                    timeout: timeout.unwrap_or(default.timeout),
                    duration: duration.unwrap_or(default.duration),
                })
            }
            SimulateCommand::Tail {
                fanout,
                slow_share,
                slow_ms,
                calls,
            } => {
                let default = tail::Params::default();
                Self::Tail(tail::Params {
                    fanout: fanout.unwrap_or(default.fanout),
                    slow_share: slow_share.unwrap_or(default.slow_share),
                    slow_ms: slow_ms.unwrap_or(default.slow_ms),
                    calls: calls.unwrap_or(default.calls),
                })
            }
        }
    }
}

/// What was given; nothing stands for the default.
fn given<T>(values: Vec<T>, default: Vec<T>) -> Vec<T> {
    if values.is_empty() { default } else { values }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &[&str]) -> Result<SimulateArgs, clap::Error> {
        let line = ["lab", "simulate"].iter().chain(line);
        match Cli::try_parse_from(line)?.command {
            Command::Simulate(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    fn scenario(line: &[&str]) -> Scenario {
        parse(line).unwrap().scenario.unwrap().into()
    }

    #[test]
    fn shared_flags_stand_before_or_after_the_name() {
        for line in [
            ["--seed", "7", "--json", "jitter"],
            ["jitter", "--seed", "7", "--json"],
        ] {
            let output = parse(&line).unwrap().output;
            assert_eq!((output.seed, output.json), (7, true));
        }
        assert!(parse(&[]).unwrap().scenario.is_none(), "the list");
    }

    #[test]
    fn a_picture_is_drawn_unless_it_is_not_wanted() {
        let output = parse(&["jitter"]).unwrap().output;
        assert!(output.svg.is_none() && !output.no_svg);
        let output = parse(&["jitter", "--no-svg"]).unwrap().output;
        assert!(output.no_svg);
        let output = parse(&["--svg", "a.svg", "jitter"]).unwrap().output;
        assert_eq!(output.svg, Some(PathBuf::from("a.svg")));
        let both = parse(&["jitter", "--svg", "a.svg", "--no-svg"]);
        assert!(both.unwrap_err().to_string().contains("--no-svg"));
    }

    #[test]
    fn lists_take_commas_or_the_flag_again_and_have_defaults() {
        for line in [
            &["jitter", "--clients", "10,20"][..],
            &["jitter", "--clients", "10", "--clients", "20"],
        ] {
            let Scenario::Jitter(params) = scenario(line) else {
                panic!("{line:?}");
            };
            assert_eq!(params.clients, [10, 20]);
            assert_eq!(params.repetitions, 1_000);
        }
        let Scenario::Jitter(params) = scenario(&["jitter"]) else {
            panic!("the defaults");
        };
        assert_eq!(params.clients, [10, 50, 100]);
    }

    #[test]
    fn a_slip_gets_a_suggestion() {
        let error = parse(&["jiter"]).unwrap_err().to_string();
        assert!(error.contains("jitter"), "{error}");
        let error = parse(&["herd", "--client", "3"]).unwrap_err().to_string();
        assert!(error.contains("--clients"), "{error}");
    }

    /// The list, the command line and the simulator know the same scenarios.
    #[test]
    fn every_scenario_of_the_catalogue_can_be_asked_for() {
        for entry in chaos_sim::catalogue() {
            let asked = format!("{:?}", scenario(&[entry.name]));
            assert_eq!(asked, format!("{:?}", entry.scenario));
        }
    }
}
