//! One run of the model shop, told: `cargo run --release -p chaos-integrity --example seed -- 3
//! double_release`. Without a defect's name the shop is a correct one.

use integrity::model::{Defect, Run, run_seed};

fn main() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let seed = args.next().unwrap_or_else(|| "0".to_owned());
    let seed: u64 = seed.parse().map_err(|_| format!("{seed} is no seed"))?;
    let defect = args.next().map(|name| named(&name)).transpose()?;
    print!("{}", run_seed(Run::new(seed, defect), None).table());
    Ok(())
}

fn named(name: &str) -> Result<Defect, String> {
    let known = Defect::ALL.into_iter().find(|defect| defect.name() == name);
    known.ok_or_else(|| {
        let names = Defect::ALL.map(Defect::name);
        format!("no defect {name}; there are: {}", names.join(", "))
    })
}
