//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// An L4 fault proxy that speaks Toxiproxy's HTTP API.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Options {
    /// Host for the API (and the metrics) to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port for the API; 0 takes a free one and logs it.
    #[arg(long, default_value_t = 8474)]
    pub port: u16,
    /// JSON file with the array of proxies to create at start.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Seed of every random decision; the same seed repeats them. A random one
    /// is taken, and logged, if none is given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Port for Prometheus metrics; none by default (they are at the API's
    /// /metrics in any case).
    #[arg(long, value_name = "PORT")]
    pub metrics_port: Option<u16>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8474,
            config: None,
            seed: None,
            metrics_port: None,
        }
    }
}
