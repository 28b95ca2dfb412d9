//! A service's command line: `serve` (default), `migrate`, `seed`, `health`, and
//! what the service adds.

use std::{fmt, future::Future, process::ExitCode, time::Duration};

use crate::{Common, Env, Running, telemetry};

/// What a service's binary is made of.
pub trait Service {
    /// The service's label: `user`.
    const NAME: &'static str;
    /// Further commands, each with a line of help.
    const COMMANDS: &'static [(&'static str, &'static str)] = &[];
    /// Everything it is configured with.
    type Config;

    /// Reads the configuration; problems are left in `env`.
    fn config(env: &mut Env) -> Self::Config;
    /// The part of it that all services share.
    fn common(config: &Self::Config) -> &Common;
    /// Starts the service; returns when it answers.
    fn start(config: Self::Config) -> impl Future<Output = anyhow::Result<Running>>;
    /// Brings the schema up to date.
    fn migrate(config: Self::Config) -> impl Future<Output = anyhow::Result<()>>;
    /// Makes the sample data.
    fn seed(config: Self::Config) -> impl Future<Output = anyhow::Result<()>>;
    /// One of [`Service::COMMANDS`]; `false` for words it does not know.
    fn command(
        _args: &[String],
        _config: Self::Config,
    ) -> impl Future<Output = anyhow::Result<bool>> {
        async { Ok(false) }
    }
}

/// Runs a service's binary.
pub fn main<S: Service>() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("--help" | "-h" | "help") => {
            println!("{}", usage::<S>());
            return ExitCode::SUCCESS;
        }
        Some("--version" | "-V") => {
            println!("{}-service {}", S::NAME, env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail::<S>(&error),
    };
    match runtime.block_on(run::<S>(&args)) {
        Ok(code) => code,
        Err(error) => fail::<S>(&format!("{error:#}")),
    }
}

fn fail<S: Service>(error: &dyn fmt::Display) -> ExitCode {
    eprintln!("{}-service: {error}", S::NAME);
    ExitCode::from(1)
}

fn usage<S: Service>() -> String {
    let mut lines = vec![
        format!("{}-service [COMMAND]", S::NAME),
        String::new(),
        "  serve     answers requests (default)".into(),
        "  migrate   brings the database's schema up to date".into(),
        "  seed      makes the sample data".into(),
        "  health    asks the running service; exit 0 when it can serve".into(),
    ];
    lines.extend(
        S::COMMANDS
            .iter()
            .map(|(command, help)| format!("  {command:<9} {help}")),
    );
    lines.push(String::new());
    lines.push("It is configured by environment variables: docs/CONFIGURATION.md.".into());
    lines.join("\n")
}

async fn run<S: Service>(args: &[String]) -> anyhow::Result<ExitCode> {
    let mut env = Env::process();
    let config = S::config(&mut env);
    env.finish()?;
    match args.first().map_or("serve", String::as_str) {
        "serve" => serve::<S>(config).await?,
        "migrate" => S::migrate(config).await?,
        "seed" => S::seed(config).await?,
        "health" => return Ok(health(S::common(&config)).await),
        other => {
            if !S::command(args, config).await? {
                anyhow::bail!("{other:?} is no command of mine.\n\n{}", usage::<S>());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve<S: Service>(config: S::Config) -> anyhow::Result<()> {
    let telemetry = telemetry::init(S::common(&config))?;
    S::start(config).await?.wait().await;
    tokio::task::spawn_blocking(move || telemetry.shutdown()).await?;
    Ok(())
}

/// For container checks, without a shell or curl in the image.
async fn health(common: &Common) -> ExitCode {
    let host = if common.bind.is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        common.bind.to_string()
    };
    let scheme = common.http_tls.as_ref().map_or("http", |_| "https");
    let url = format!("{scheme}://{host}:{}/health/", common.http_port);
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(3))
        // It asks itself, by an address that its certificate need not name.
        .tls_danger_accept_invalid_certs(common.http_tls.is_some())
        .build()
        .unwrap_or_default();
    match client.get(&url).send().await {
        Ok(answer) if answer.status().is_success() => {
            println!("{}", answer.text().await.unwrap_or_default());
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            eprintln!(
                "{url}: {}: {}",
                answer.status(),
                answer.text().await.unwrap_or_default()
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{url}: {error}");
            ExitCode::FAILURE
        }
    }
}
