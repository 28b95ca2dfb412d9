//! `lab load`: load alone, open-loop unless customers are said to think.

mod args;
mod bar;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use loadtest::fixtures::{FixtureSpec, Fixtures, Renewal};
use loadtest::{LoadTarget, Op, Plan, report, session};
use resilience::Policy;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::cli::Global;
use crate::exit::Exit;
use crate::ground::{Ground, stamp};
use crate::interrupt::Interrupt;
use crate::place::Place;
use crate::progress::Progress;
use crate::state::{Lock, State};
use crate::supervisor::Spawner;

pub use args::LoadArgs;
use bar::Bar;

/// Products to choose from, each with more units than any run can buy.
const PRODUCTS: usize = 50;
/// The same for loads that read large pages, which they fill.
const PRODUCTS_OF_PAGES: usize = 200;
const UNITS: u64 = 1_000_000;

/// What to run, and with whom.
struct Wanted {
    plan: Plan,
    customers: usize,
    policies: Vec<(u32, Policy)>,
}

/// `lab load`: exit 2 when the figures must not be trusted.
///
/// # Errors
/// When the shop or the load can't run.
pub async fn run(spawner: &Spawner, global: &Global, args: &LoadArgs) -> Result<Exit> {
    let plan = args.plan()?;
    let wanted = Wanted {
        customers: args.population(&plan),
        policies: args.policies()?,
        plan,
    };
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
    let outcome = measure(&mut ground, spawner, wanted, &progress, &mut interrupt).await;
    ground.finish(&progress).await;
    progress.clear();
    let summary = outcome?;
    let out = args.out.clone().unwrap_or_else(|| default_out(&place));
    let files = report::write(&summary, &out)?;
    print!("{}", report::table(&summary));
    println!(
        "\nfigures {}\nhistogram {}\npercentiles {}",
        files.json.display(),
        files.hlog.display(),
        files.hgrm.display()
    );
    let Some(why) = &summary.void else {
        return Ok(Exit::Held);
    };
    if !summary.generator.stopped {
        eprintln!(
            "the figures are of this machine, not of the shop: {why}.\n\
             Ask for less (--rate), or run it where less else runs"
        );
    }
    Ok(Exit::Inconclusive)
}

fn default_out(place: &Place) -> PathBuf {
    place.runs().join(format!("{}-load", stamp()))
}

async fn measure(
    ground: &mut Ground,
    spawner: &Spawner,
    wanted: Wanted,
    progress: &Progress,
    interrupt: &mut Interrupt,
) -> Result<report::Summary> {
    let ready = async {
        ground.start(spawner, progress).await?;
        progress.step("making customers and products");
        target(ground.state(), ground.token(), &wanted).await
    };
    let target = tokio::select! {
        target = ready => target?,
        signal = interrupt.wait() => bail!("interrupted by {signal} while getting ready"),
    };
    let stop = CancellationToken::new();
    progress.step("load runs");
    progress.clear();
    let bar = Bar::new(wanted.plan.duration.as_secs());
    let run = session::run_load(&wanted.plan, target, stop.clone(), |now| bar.show(now));
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
async fn target(state: &State, token: &str, wanted: &Wanted) -> Result<LoadTarget> {
    let gateway = state.part("gateway").context("the lab has no gateway")?;
    let base: reqwest::Url = gateway.url.parse().context("the gateway's address")?;
    answers(&base).await?;
    let run = format!("load-{:x}", wanted.plan.seed);
    let fixtures = Fixtures::new(
        control(state, "user-service")?,
        control(state, "product-service")?,
        token,
    )?;
    let pages = |stream: &loadtest::Stream| stream.mix.ops().any(|op| op == Op::Page);
    let spec = FixtureSpec {
        customers: wanted.customers,
        staff: 0,
        products: if wanted.plan.streams.iter().any(pages) {
            PRODUCTS_OF_PAGES
        } else {
            PRODUCTS
        },
        units: UNITS,
        run: run.clone(),
    };
    let catalogue = fixtures.prepare(&spec).await?;
    Ok(LoadTarget {
        policies: wanted.policies.clone(),
        renewal: Some(Renewal {
            fixtures,
            run: run.clone(),
        }),
        ..catalogue.target(base, token, &run)
    })
}

/// Whether anything listens there at all, before customers are made for it.
async fn answers(base: &reqwest::Url) -> Result<()> {
    let host = base.host_str().unwrap_or_default();
    let port = base.port_or_known_default().unwrap_or_default();
    if let Err(error) = TcpStream::connect((host, port)).await {
        bail!(
            "nothing answers at {base} ({error}): `lab status` shows what runs, `lab up` starts it"
        );
    }
    Ok(())
}

fn control(state: &State, part: &str) -> Result<reqwest::Url> {
    state
        .part(part)
        .and_then(|part| part.control.as_deref())
        .with_context(|| format!("{part} has no control API here"))?
        .parse()
        .context("the control API's address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_target_where_nothing_runs_is_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let base: reqwest::Url = format!("http://{address}/").parse().unwrap();
        assert!(answers(&base).await.is_ok());
        drop(listener);
        let error = answers(&base).await.unwrap_err().to_string();
        assert!(
            error.contains(base.as_str()) && error.contains("lab up"),
            "{error}"
        );
    }
}
