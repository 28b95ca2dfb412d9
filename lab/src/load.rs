//! `lab load`: open-loop load alone.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loadtest::fixtures::{FixtureSpec, Fixtures};
use loadtest::session::{self, LoadOptions};
use loadtest::{Arrivals, LoadTarget, Mix, Plan, report};
use tokio_util::sync::CancellationToken;

use crate::cli::{Global, LoadArgs};
use crate::exit::Exit;
use crate::ground::{Ground, stamp};
use crate::interrupt::Interrupt;
use crate::place::Place;
use crate::progress::Progress;
use crate::state::{Lock, State};
use crate::supervisor::Spawner;

/// Products to choose from, each with more units than any run can buy.
const PRODUCTS: usize = 50;
const UNITS: u64 = 1_000_000;

/// The longest warm-up; short runs warm up for a fifth of their time.
const WARM_UP: Duration = Duration::from_secs(3);

/// `lab load`: exit 2 when the figures must not be trusted.
///
/// # Errors
/// When the shop or the load can't run.
pub async fn run(spawner: &Spawner, global: &Global, args: &LoadArgs) -> Result<Exit> {
    let plan = plan(args)?;
    let place = Place::resolve(global)?;
    let progress = Progress::new();
    let mut interrupt = Interrupt::listen()?;
    let attach = args.attach || Lock::is_held(&place.lock())?;
    let mut ground = if attach {
        Ground::attach(&place)?
    } else {
        tokio::select! {
            ground = Box::pin(Ground::own(global, &place, &progress)) => ground?,
            _ = interrupt.wait() => bail!("interrupted before anything was started"),
        }
    };
    let outcome = measure(&mut ground, spawner, plan, &progress, &mut interrupt).await;
    ground.finish(&progress).await;
    progress.clear();
    let summary = outcome?;
    let out = args.out.clone().unwrap_or_else(|| default_out(&place));
    let files = report::write(&summary, &out)?;
    print!("{}", report::table(&summary));
    println!(
        "\nfigures {}\nhistogram {}",
        files.json.display(),
        files.hlog.display()
    );
    Ok(if summary.void.is_some() {
        Exit::Inconclusive
    } else {
        Exit::Held
    })
}

fn plan(args: &LoadArgs) -> Result<Plan> {
    let mix = Mix::named(&args.mix)?;
    let seed = args.seed.unwrap_or_else(rand::random);
    let plan = Plan::single(mix, args.rate, Arrivals::Poisson, args.duration, seed);
    plan.validate()?;
    Ok(plan)
}

fn default_out(place: &Place) -> PathBuf {
    place.runs().join(format!("{}-load", stamp()))
}

async fn measure(
    ground: &mut Ground,
    spawner: &Spawner,
    plan: Plan,
    progress: &Progress,
    interrupt: &mut Interrupt,
) -> Result<report::Summary> {
    let ready = async {
        ground.start(spawner, progress).await?;
        progress.step("making customers and products");
        target(ground.state(), ground.token(), &plan).await
    };
    let target = tokio::select! {
        target = ready => target?,
        signal = interrupt.wait() => bail!("interrupted by {signal} while getting ready"),
    };
    let warm_up = WARM_UP.min(plan.duration / 5);
    let options = LoadOptions { plan, warm_up };
    let stop = CancellationToken::new();
    progress.step("load runs");
    let run = session::run_load(&options, target, stop.clone(), |now| {
        progress.detail(&line(now));
    });
    tokio::pin!(run);
    tokio::select! {
        summary = &mut run => Ok(summary?),
        crash = ground.crash() => Err(crash),
        _ = interrupt.wait() => {
            stop.cancel();
            Ok(run.await?)
        }
    }
}

/// Customers and products of this load's own, made over the control API.
async fn target(state: &State, token: &str, plan: &Plan) -> Result<LoadTarget> {
    let run = format!("load-{:x}", plan.seed);
    let fixtures = Fixtures::new(
        control(state, "user-service")?,
        control(state, "product-service")?,
        token,
    )?;
    // Each customer comes round every few seconds, so that no rate limit takes them for a robot.
    let customers = ((plan.rate() * 5.0) as usize).clamp(50, 2_000);
    let spec = FixtureSpec {
        customers,
        staff: 0,
        products: PRODUCTS,
        units: UNITS,
        run: run.clone(),
    };
    let catalogue = fixtures.prepare(&spec).await?;
    let gateway = state.part("gateway").context("the lab has no gateway")?;
    let base = gateway.url.parse().context("the gateway's address")?;
    Ok(catalogue.target(base, token, &run))
}

fn control(state: &State, part: &str) -> Result<reqwest::Url> {
    state
        .part(part)
        .and_then(|part| part.control.as_deref())
        .with_context(|| format!("{part} has no control API here"))?
        .parse()
        .context("the control API's address")
}

fn line(now: &session::Progress) -> String {
    let p99 = now
        .p99_ms
        .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
    format!(
        "load: {} of {} s, {:.0} requests/s, {} rejected, {} failed, p99 {p99}",
        now.elapsed.as_secs(),
        now.duration.as_secs(),
        now.rate,
        now.rejected,
        now.failed,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(mix: &str, rate: f64) -> LoadArgs {
        LoadArgs {
            rate,
            duration: Duration::from_secs(10),
            mix: mix.to_owned(),
            seed: Some(1),
            out: None,
            attach: false,
        }
    }

    #[test]
    fn a_wrong_mix_or_rate_is_refused_before_anything_starts() {
        assert!(plan(&args("shopping", 50.0)).is_ok());
        let error = plan(&args("shoping", 50.0)).unwrap_err().to_string();
        assert!(error.contains("shopping"), "{error}");
        assert!(plan(&args("shopping", 0.0)).is_err());
    }
}
