//! `lab up`: everything running, and told in one table.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;
use tokio::time::sleep;

use crate::cli::{Global, UpArgs};
use crate::compile::{self, Programs};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::logs;
use crate::parts::SAMPLE_ACCOUNTS;
use crate::place::Place;
use crate::ports::{Layout, Port};
use crate::progress::Progress;
use crate::replicas::Replicas;
use crate::restart;
use crate::shim;
use crate::shop::Shop;
use crate::state::{Lock, State};
use crate::status;
use crate::supervisor::{Spawner, describe};

/// `lab up`
///
/// # Errors
/// When the lab can't start.
pub async fn run(spawner: &Spawner, global: &Global, args: &UpArgs) -> Result<Exit> {
    let place = Place::resolve(global)?;
    let layout = Layout::new(global.port_base)?.with(replicas(args)?);
    let mut interrupt = Interrupt::listen()?;
    let progress = Progress::new();
    let work = async {
        refuse_second(&place)?;
        compile::programs(&place, global.bin_dir.as_deref(), &progress).await
    };
    let programs = tokio::select! {
        programs = work => programs?,
        _ = interrupt.wait() => bail!("interrupted before anything was started"),
    };
    if args.detach {
        return detach(global, args, &place, &programs, &progress, &mut interrupt).await;
    }
    let mut shop = Shop::prepare(&place, layout, &programs, args.fresh).await?;
    let outcome = serve(
        &mut shop,
        spawner,
        &place,
        global,
        &progress,
        &mut interrupt,
    )
    .await;
    tokio::select! {
        () = shop.stop(&progress) => {}
        _ = interrupt.wait() => progress.say("killing what still runs"),
    }
    progress.clear();
    outcome
}

fn replicas(args: &UpArgs) -> Result<Replicas> {
    let counts = args.replicas.iter();
    Replicas::new(counts.map(|(name, count)| (name.as_str(), *count)))
}

/// Says so early, before minutes of building.
fn refuse_second(place: &Place) -> Result<()> {
    if Lock::is_held(&place.lock())? {
        Lock::take(place)?;
    }
    Ok(())
}

async fn serve(
    shop: &mut Shop,
    spawner: &Spawner,
    place: &Place,
    global: &Global,
    progress: &Progress,
    interrupt: &mut Interrupt,
) -> Result<Exit> {
    tokio::select! {
        started = shop.start(spawner, progress) => started?,
        signal = interrupt.wait() => bail!("interrupted by {signal} while starting"),
    }
    progress.clear();
    let mut orders = restart::take_orders(shop).await?;
    println!(
        "{}",
        welcome(&shop.state, place, global, "Ctrl-C stops everything.").await?
    );
    loop {
        tokio::select! {
            Some(order) = orders.recv() => shop.obey(spawner, order),
            crash = shop.next_crash() => {
                let (name, status) = crash?;
                eprintln!("\n!! {name} {}\n{}", describe(status), shop.last_words(&name));
                let again = same_lab(global, &format!("restart {name}"));
                eprintln!("The rest goes on without it; `{again}` has it back.");
            }
            signal = interrupt.wait() => {
                eprintln!("\n{signal}: stopping");
                return Ok(Exit::Held);
            }
        }
    }
}

/// The table at the end of the start.
async fn welcome(state: &State, place: &Place, global: &Global, stop: &str) -> Result<String> {
    let shop = Layout::new(global.port_base)?.url(Port::GatewayHttp);
    Ok(format!(
        "\n{}\n\
         shop API   {shop}/api/products/\n\
         docs       {shop}/docs/user  {shop}/docs/product  {shop}/docs/order\n\
         health     {shop}/health\n\
         accounts   {SAMPLE_ACCOUNTS}\n\
         data       {}\n\n\
         next       {}\n           {}\n\
         {stop}",
        status::table(state).await?,
        place.data.display(),
        same_lab(global, "status"),
        same_lab(global, "chaos run product-outage"),
    ))
}

/// A command line for this very lab.
fn same_lab(global: &Global, command: &str) -> String {
    let mut line = "cargo lab".to_owned();
    if let Some(data) = &global.data {
        line.push_str(&format!(" --data {}", data.display()));
    }
    if let Some(base) = global.port_base {
        line.push_str(&format!(" --port-base {base}"));
    }
    format!("{line} {command}")
}

/// Starts the same lab again as a session of its own, and waits until it is ready.
async fn detach(
    global: &Global,
    args: &UpArgs,
    place: &Place,
    programs: &Programs,
    progress: &Progress,
    interrupt: &mut Interrupt,
) -> Result<Exit> {
    std::fs::create_dir_all(place.logs()).context("log folder")?;
    let path = place.log("lab");
    logs::rotate(&path)?;
    let log = logs::open(&path)?;
    let mut child = again(global, args, programs)?
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("log file")?)
        .stderr(log)
        .spawn()
        .context("cannot start the lab in the background")?;
    progress.step("starting the lab in the background");
    let state = tokio::select! {
        state = until_ready(place, child.id()) => state?,
        status = child.wait() => bail!(
            "the lab {} while it started:\n  {}\nthe whole log: {}",
            describe(status.context("the lab's process")?),
            logs::tail(&path, 20).join("\n  "),
            path.display(),
        ),
        signal = interrupt.wait() => {
            if let Some(pid) = child.id() {
                crate::down::ask_to_stop(pid);
            }
            bail!("interrupted by {signal} while starting")
        }
    };
    progress.clear();
    let stop = format!(
        "It runs in the background; `{}` stops it.",
        same_lab(global, "down")
    );
    println!("{}", welcome(&state, place, global, &stop).await?);
    Ok(Exit::Held)
}

/// This very lab once more, with the programs that have just been built.
fn again(global: &Global, args: &UpArgs, programs: &Programs) -> Result<Command> {
    let mut command = Command::new(shim::this_program()?);
    command
        .args(["up", "--background"])
        .args(args.fresh.then_some("--fresh"));
    let replicas = args.replicas.iter();
    command.args(replicas.map(|(name, count)| format!("--replicas={name}={count}")));
    command.args(global.port_base.map(|base| format!("--port-base={base}")));
    if let Some(data) = &global.data {
        command.arg("--data").arg(data);
    }
    command.arg("--bin-dir").arg(programs.dir());
    Ok(command)
}

async fn until_ready(place: &Place, pid: Option<u32>) -> Result<State> {
    loop {
        if let Some(state) = State::of_running(place)?
            && state.ready
            && Some(state.pid) == pid
        {
            return Ok(state);
        }
        sleep(Duration::from_millis(50)).await;
    }
}
