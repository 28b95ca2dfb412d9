//! A fault for as long as a command holds it.

use anyhow::{Context as _, Result, bail};
use chaos_engine::scenario::{self, Condition, Level};
use chaos_engine::timeline::{Count, Injector as _, Injectors, Order, RENEWAL};
use tokio::time::{Instant, sleep, sleep_until};

use super::{AddArgs, words};
use crate::controls::Controls;
use crate::interrupt::Interrupt;

/// How many renewals in a row may fail: with one more, the lease is over.
const RENEWALS_LOST: u32 = 2;

/// Puts the fault in force, renews its lease, and takes it away in the end.
///
/// # Errors
/// When it can't be had, or the lab goes away under it.
pub async fn run(controls: &Controls, args: &AddArgs) -> Result<()> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => format!("hand-{}", rand::random_range(1_000..10_000)),
    };
    let fault = scenario::by_hand(&words::condition(args, &name)?, "the fault")?;
    let order = Order {
        name: &fault.name,
        link: &fault.link,
        action: &fault.action,
    };
    let injectors = Injectors::new(&controls.client, &controls.target, &controls.parts).await?;
    injectors.can(order)?;
    if let Some(seed) = args.seed {
        injectors.seed(seed).await?;
    }
    let mut interrupt = Interrupt::listen()?;
    let put = injectors.inject(order).await;
    if put.is_ok() {
        let until = args.lasts.map_or_else(
            || "Ctrl-C ends it".to_owned(),
            |lasts| format!("for {}", humantime::format_duration(lasts)),
        );
        println!("{name}: on {} from now on; {until}", fault.link);
    }
    let held = match put {
        Ok(()) => hold(&injectors, order, args, &mut interrupt).await,
        Err(error) => Err(error.into()),
    };
    // Whatever has happened, and half an injection too.
    let cleared = injectors.clear(order).await;
    held?;
    let count = cleared.with_context(|| {
        format!("{name} could not be taken away: its lease ends within 15 s, or `lab fault clear`")
    })?;
    end_lease(controls, &fault).await;
    println!("{name}: taken away{}", acted(count, &fault));
    Ok(())
}

async fn hold(
    injectors: &Injectors,
    order: Order<'_>,
    args: &AddArgs,
    interrupt: &mut Interrupt,
) -> Result<()> {
    let end = args.lasts.map(|lasts| Instant::now() + lasts);
    let mut lost = 0;
    loop {
        tokio::select! {
            biased;
            _ = interrupt.wait() => return Ok(()),
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => return Ok(()),
            () = sleep(RENEWAL) => {}
        }
        match injectors.renew(order).await {
            Ok(()) => lost = 0,
            Err(error) if lost == RENEWALS_LOST => return Err(error.into()),
            Err(error) if error.to_string().contains("it is gone") => {
                bail!("somebody has taken it away ({error})")
            }
            Err(_) => lost += 1,
        }
    }
}

/// The lease of the fault proxies is one for all of them: it ends with the last fault.
async fn end_lease(controls: &Controls, fault: &Condition) {
    if fault.action.level() != Level::Proxy {
        return;
    }
    let Ok(proxies) = controls.proxies.list().await else {
        return;
    };
    if proxies.values().all(|p| p.enabled && p.toxics.is_empty()) {
        // A lease that stays runs out and finds nothing to take away.
        let _ = controls.proxies.end_lease().await;
    }
}

fn acted(count: Count, fault: &Condition) -> String {
    let what = match fault.action.level() {
        Level::Proxy => "connections",
        Level::Request | Level::Process => "requests",
    };
    match (count.acted, count.matched) {
        (Some(acted), Some(matched)) => format!("; it acted on {acted} of {matched} {what}"),
        (Some(acted), None) => format!("; it acted on {acted} {what}"),
        _ => String::new(),
    }
}
