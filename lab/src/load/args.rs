//! What `lab load` is asked for.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use loadtest::{Arrivals, Mix, Plan, Priority, Profile, Stream};
use resilience::{Policy, SlotSpec};
use serde_json::Value;

/// The longest warm-up; short runs warm up for a fifth of their time.
const WARM_UP: Duration = Duration::from_secs(3);
/// The fixtures' bound.
const MOST_CUSTOMERS: usize = 10_000;

/// `lab load`
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Requests per second [default: 50]
    #[arg(long, value_name = "R", conflicts_with_all = ["profile", "think"])]
    pub rate: Option<f64>,
    /// Requests per second over time: a file, or a table such as '{ from = 20, to = 200 }',
    /// '{ steps = [["0s", 50], ["10s", 100]] }' or '{ base = 20, spike = 200, at = "10s", for = "2s" }'
    #[arg(long, value_name = "FILE|TABLE", conflicts_with = "think")]
    pub profile: Option<String>,
    /// How arrivals are spread
    #[arg(long, value_enum, default_value_t = Spread::Poisson)]
    pub arrivals: Spread,
    /// How long requests begin; the first fifth of it, at most 3 s, is not counted
    #[arg(long, default_value = "30s", value_name = "D", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// What they do: browsing, checkout, shopping, returning, login-storm, or one operation
    #[arg(long, default_value = "shopping", value_name = "NAME")]
    pub mix: String,
    /// Seed of arrivals and choices
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Virtual customers, each with an account, a token and an address [default: five a request/s]
    #[arg(long, value_name = "N", value_parser = customers)]
    pub customers: Option<usize>,
    /// Closed loop: each of the customers waits for its answer, thinks for so long, and asks again
    #[arg(long, value_name = "D", requires = "customers", value_parser = humantime::parse_duration)]
    pub think: Option<Duration>,
    /// Sent with every request: critical-plus, critical, sheddable-plus or sheddable
    #[arg(long, value_name = "LEVEL")]
    pub priority: Option<Priority>,
    /// Policy of the load's own slot: a caller's preset, or a policy as JSON [default: one attempt]
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
    /// Where to write [default: target/lab/runs/<time>-load]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Use the lab that is running instead of a shop of its own
    #[arg(long)]
    pub attach: bool,
}

/// See [`Arrivals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Spread {
    /// As many customers do, independent of each other
    Poisson,
    /// Evenly
    Constant,
}

fn customers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=MOST_CUSTOMERS).contains(&n) => Ok(n),
        _ => Err(format!("a number from 1 to {MOST_CUSTOMERS}")),
    }
}

impl LoadArgs {
    /// The load.
    ///
    /// # Errors
    /// For an unknown mix, or a value out of range, named.
    pub fn plan(&self) -> Result<Plan> {
        let mix = Mix::named(&self.mix)?;
        let mut stream = match (self.think, self.customers) {
            (Some(think), Some(customers)) => Stream::closed(mix, customers, think),
            _ => Stream::open(mix, self.rates()?, self.arrivals.into()),
        };
        stream.priority = self.priority;
        let plan = Plan {
            streams: vec![stream],
            warm_up: WARM_UP.min(self.duration / 5),
            duration: self.duration,
            seed: self.seed.unwrap_or_else(rand::random),
        };
        plan.validate()?;
        Ok(plan)
    }

    fn rates(&self) -> Result<Profile> {
        match &self.profile {
            None => Ok(self.rate.unwrap_or(50.0).into()),
            Some(text) if text.trim_start().starts_with('{') => inline(text),
            Some(text) => file(text),
        }
    }

    /// The policies of the slot `load`, with their weights.
    ///
    /// # Errors
    /// For an unknown preset or a policy that can't be read.
    pub fn policies(&self) -> Result<Vec<(u32, Policy)>> {
        let Some(text) = &self.policy else {
            return Ok(Vec::new());
        };
        let value = if text.trim_start().starts_with(['{', '[', '"']) {
            serde_json::from_str(text).with_context(|| format!("--policy: {text} is no JSON"))?
        } else {
            Value::from(text.as_str())
        };
        let spec = SlotSpec::try_from(value).context("--policy")?;
        spec.resolve().context("--policy")
    }

    /// How many customers the plan needs: each comes round every few seconds, so that no rate limit
    /// takes them for a robot.
    pub fn population(&self, plan: &Plan) -> usize {
        let by_rate = (plan.peak_rate() * 5.0) as usize;
        self.customers.unwrap_or(by_rate.clamp(50, 2_000))
    }
}

impl From<Spread> for Arrivals {
    fn from(spread: Spread) -> Self {
        match spread {
            Spread::Poisson => Self::Poisson,
            Spread::Constant => Self::Constant,
        }
    }
}

/// A table on the command line, as JSON or TOML write it.
fn inline(text: &str) -> Result<Profile> {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) => {
            let document: toml::Table = toml::from_str(&format!("rate = {text}"))
                .with_context(|| format!("--profile: {text} is neither TOML nor JSON"))?;
            serde_json::to_value(&document["rate"]).context("--profile")?
        }
    };
    Profile::try_from(value).context("--profile")
}

/// A file with the fields of a profile.
fn file(path: &str) -> Result<Profile> {
    let Ok(text) = std::fs::read_to_string(path) else {
        bail!(
            "--profile: there is no file {path}; a table begins with {{, as in '{{ from = 20, to = 200 }}'"
        );
    };
    let value: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).with_context(|| format!("{path} is no JSON"))?
    } else {
        toml::from_str(&text).with_context(|| format!("{path} is no TOML"))?
    };
    Profile::try_from(value).with_context(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use loadtest::Source;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: LoadArgs,
    }

    fn args(line: &[&str]) -> Result<LoadArgs, String> {
        let line = std::iter::once("load").chain(line.iter().copied());
        Line::try_parse_from(line)
            .map(|line| line.args)
            .map_err(|e| e.to_string())
    }

    fn rates(profile: &str) -> Result<Profile, String> {
        let plan = args(&["--profile", profile]).unwrap().plan();
        let plan = plan.map_err(|e| format!("{e:#}"))?;
        Ok(plan.streams[0].rate().unwrap().clone())
    }

    #[test]
    fn a_wrong_mix_or_rate_is_refused_before_anything_starts() {
        assert!(args(&[]).unwrap().plan().is_ok());
        let error = |line: &[&str]| args(line).unwrap().plan().unwrap_err().to_string();
        assert!(error(&["--mix", "shoping"]).contains("did you mean `shopping`"));
        assert!(error(&["--rate", "0"]).contains("rate"));
        let above = error(&["--rate", "200000"]);
        assert!(above.contains("at most 100000"), "{above}");
    }

    #[test]
    fn a_profile_is_a_table_or_a_file() {
        let ramp = Profile::ramp(20.0, 200.0);
        assert_eq!(rates("{ from = 20, to = 200 }"), Ok(ramp.clone()));
        assert_eq!(rates(r#"{"from": 20, "to": 200}"#), Ok(ramp.clone()));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ramp.toml");
        std::fs::write(&path, "from = 20\nto = 200\n").unwrap();
        assert_eq!(rates(path.to_str().unwrap()), Ok(ramp));
        assert!(
            rates("{ from = 20, too = 1 }")
                .unwrap_err()
                .contains("rate.too")
        );
        assert!(rates("ramp").unwrap_err().contains("no file ramp"));
        assert!(rates("{ from = }").unwrap_err().contains("neither"));
    }

    #[test]
    fn customers_who_think_are_a_closed_loop() {
        let closed = args(&["--customers", "30", "--think", "1s"]).unwrap();
        let plan = closed.plan().unwrap();
        let think = Duration::from_secs(1);
        let customers = 30;
        assert_eq!(plan.streams[0].source, Source::Closed { customers, think });
        assert_eq!(closed.population(&plan), 30);
        let open = args(&["--customers", "30"]).unwrap();
        assert_eq!(open.population(&open.plan().unwrap()), 30);
        assert!(args(&["--think", "1s"]).is_err());
        assert!(args(&["--think", "1s", "--customers", "3", "--rate", "5"]).is_err());
        assert!(
            args(&["--customers", "0"])
                .unwrap_err()
                .contains("from 1 to")
        );
    }

    #[test]
    fn a_policy_is_a_preset_or_json() {
        let policies = |text: &str| args(&["--policy", text]).unwrap().policies();
        assert_eq!(policies("naive").unwrap()[0].1.preset, "naive");
        let two = r#"[{"weight": 1, "policy": "fast"}, {"weight": 2, "policy": "none"}]"#;
        assert_eq!(policies(two).unwrap()[1].0, 2);
        let error = format!("{:#}", policies("naiv").unwrap_err());
        assert!(error.contains("naive"), "{error}");
        assert!(args(&[]).unwrap().policies().unwrap().is_empty());
        assert!(
            args(&["--priority", "high"])
                .unwrap_err()
                .contains("critical-plus")
        );
    }
}
