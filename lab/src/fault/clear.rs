//! Takes faults away, whoever has put them there.

use anyhow::{Context as _, Result, bail};
use chaos_engine::target::same;

use super::ClearArgs;
use crate::controls::Controls;

/// Takes one away, or everything on a link, or all.
///
/// # Errors
/// When there is no such fault, or an injector doesn't answer.
pub async fn run(controls: &Controls, args: &ClearArgs) -> Result<()> {
    if args.all {
        controls.proxies.reset().await?;
        controls.proxies.end_lease().await?;
        for control in &controls.parts {
            control.remove_faults().await?;
        }
        println!("nothing is in force any more");
        return Ok(());
    }
    let what = args.what.as_deref().context("name a fault or a link")?;
    let removed = proxies(controls, what).await? + parts(controls, what).await?;
    if removed == 0 {
        bail!(
            "no fault {what:?} is in force, and none on a link of that name; see `lab fault list`"
        );
    }
    println!("{what}: {removed} taken away");
    Ok(())
}

async fn proxies(controls: &Controls, what: &str) -> Result<usize> {
    let mut removed = 0;
    for (link, proxy) in controls.proxies.list().await? {
        let whole = same(&link, what);
        if whole && !proxy.enabled {
            controls.proxies.set_enabled(&link, true).await?;
            removed += 1;
        }
        let names = proxy.toxics.iter().filter_map(|t| t["name"].as_str());
        for name in names.filter(|name| whole || *name == what) {
            controls.proxies.remove(&link, name).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

async fn parts(controls: &Controls, what: &str) -> Result<usize> {
    let mut removed = 0;
    for control in &controls.parts {
        for fault in control.faults().await? {
            let text = |field: &str| fault[field].as_str().unwrap_or_default();
            if text("id") == what || same(text("link"), what) {
                control.remove_fault(text("id")).await?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}
