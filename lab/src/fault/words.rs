//! An action in words, `fail=20% status=INTERNAL`, as a scenario file writes it.

use anyhow::{Context as _, Result, bail};
use toml::{Table, Value};

use super::AddArgs;
use crate::text;

/// What `--help` says about actions.
pub const HELP: &str = "\
Actions (the first word names it; further words are its fields, as in a scenario file):
  down                              the link refuses connections and closes those it has
  latency=800 jitter=100            milliseconds; also bandwidth=KB/s, slow_close=MS, timeout=MS,
                                    reset_peer=MS, slicer=BYTES, limit_data=BYTES; with
                                    stream=upstream, toxicity=0.5 (a share of connections)
  fail=20% status=INTERNAL          a share of the requests; status UNAVAILABLE if not said
  fail first=2 of=call              the first attempts of each call (of=all: in all)
  delay=800ms                       before the work; with share=10%
  work=normal(800ms,200ms)          as work that goes on though the caller has left; also
                                    uniform(1ms,2ms) and pareto(10ms,1.5)
  hang  lose_reply                  no answer; the answer lost after the work; with =SHARE
  capacity=10 service_time=50ms     so many at once, each for so long; with queue=N

The fault holds a lease that this command renews: it ends with the command, whatever ends that.";

/// The toxics with the field that a bare value stands for.
const TOXICS: [(&str, &str); 8] = [
    ("latency", "latency"),
    ("bandwidth", "rate"),
    ("slow_close", "delay"),
    ("timeout", "timeout"),
    ("reset_peer", "timeout"),
    ("slicer", "average_size"),
    ("limit_data", "bytes"),
    ("noop", ""),
];

/// The actions per request with the field that a bare value stands for.
const EFFECTS: [(&str, &str); 6] = [
    ("fail", "share"),
    ("delay", "time"),
    ("work", "time"),
    ("hang", "share"),
    ("capacity", "at_once"),
    ("lose_reply", "share"),
];

/// Toxics' fields that are milliseconds.
const MILLISECONDS: [&str; 4] = ["latency", "jitter", "delay", "timeout"];

/// The fault as a `[[condition]]` of a scenario file.
///
/// # Errors
/// For an action that there is not.
pub fn condition(args: &AddArgs, name: &str) -> Result<String> {
    let mut action = match &args.action {
        Some(text) => parsed(text)?,
        None => action(&args.words)?,
    };
    narrow(&mut action, args)?;
    let mut table = Table::new();
    table.insert("name".to_owned(), name.into());
    table.insert("link".to_owned(), args.link.as_str().into());
    table.insert("action".to_owned(), action);
    toml::to_string(&table).context("the fault as TOML")
}

fn parsed(text: &str) -> Result<Value> {
    let document: Table = format!("action = {text}")
        .parse()
        .with_context(|| format!("--action {text:?} is no TOML value"))?;
    let action = document.get("action").cloned();
    action.context("--action is empty")
}

/// Methods, callers and users stand in the action.
fn narrow(action: &mut Value, args: &AddArgs) -> Result<()> {
    let lists: [(&str, Vec<Value>); 3] = [
        ("methods", values(&args.methods)),
        ("callers", values(&args.callers)),
        ("users", values(&args.users)),
    ];
    for (field, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        match action {
            Value::Table(table) if !table.contains_key("toxic") => {
                table.insert(field.to_owned(), list.into());
            }
            _ => bail!("a fault of the proxy meets connections: it can't be narrowed to {field}"),
        }
    }
    Ok(())
}

fn values<T: Clone + Into<Value>>(of: &[T]) -> Vec<Value> {
    of.iter().cloned().map(Into::into).collect()
}

fn action(words: &[String]) -> Result<Value> {
    let [first, fields @ ..] = words else {
        bail!("what should it do? See `lab fault add --help`");
    };
    let (name, bare) = match first.split_once('=') {
        Some((name, bare)) => (name, Some(bare)),
        None => (first.as_str(), None),
    };
    if name == "down" && bare.is_none() && fields.is_empty() {
        return Ok("down".into());
    }
    if let Some((name, usual)) = TOXICS.iter().find(|(toxic, _)| *toxic == name) {
        return toxic(name, usual, bare, fields);
    }
    if let Some((name, usual)) = EFFECTS.iter().find(|(effect, _)| *effect == name) {
        return effect(name, usual, bare, fields);
    }
    if ["kill", "pause", "restart"].contains(&name) {
        bail!(
            "{name} is for scenarios on a shop of their own; on a running lab, `kill` and the pids \
             of `lab status` do it"
        );
    }
    let known = TOXICS.iter().chain(&EFFECTS).map(|(known, _)| *known);
    let hint = text::suggest(name, known.chain(["down"]));
    bail!("there is no action {name:?}{hint}; `lab fault add --help` names them")
}

fn toxic(name: &str, usual: &str, bare: Option<&str>, fields: &[String]) -> Result<Value> {
    let mut table = Table::from_iter([("toxic".to_owned(), name.into())]);
    for (field, text) in pairs(usual, bare, fields)? {
        let is_time = MILLISECONDS.contains(&field);
        let value = match humantime::parse_duration(text) {
            Ok(time) if is_time && text.parse::<f64>().is_err() => {
                i64::try_from(time.as_millis()).unwrap_or(i64::MAX).into()
            }
            _ => value(text),
        };
        table.insert(field.to_owned(), value);
    }
    Ok(table.into())
}

fn effect(name: &str, usual: &str, bare: Option<&str>, fields: &[String]) -> Result<Value> {
    let mut inner = Table::new();
    for (field, text) in pairs(usual, bare, fields)? {
        inner.insert(field.to_owned(), value(text));
    }
    if name == "fail" && !inner.contains_key("status") {
        inner.insert("status".to_owned(), "UNAVAILABLE".into());
    }
    Ok(Table::from_iter([(name.to_owned(), inner.into())]).into())
}

fn pairs<'a>(
    usual: &'a str,
    bare: Option<&'a str>,
    fields: &'a [String],
) -> Result<Vec<(&'a str, &'a str)>> {
    let mut pairs: Vec<_> = bare.map(|bare| (usual, bare)).into_iter().collect();
    for field in fields {
        let pair = field
            .split_once('=')
            .with_context(|| format!("{field:?}: write FIELD=VALUE, as in jitter=100"))?;
        pairs.push(pair);
    }
    Ok(pairs)
}

/// `20%`, a number, `normal(800ms,200ms)`; anything else is text.
fn value(text: &str) -> Value {
    if let Some(percent) = text.strip_suffix('%').and_then(|n| n.parse::<f64>().ok()) {
        return (percent / 100.0).into();
    }
    if let Ok(integer) = text.parse::<i64>() {
        return integer.into();
    }
    if let Ok(float) = text.parse::<f64>() {
        return float.into();
    }
    match drawn(text) {
        Some(table) => table.into(),
        None => text.into(),
    }
}

fn drawn(text: &str) -> Option<Table> {
    let (name, rest) = text.split_once('(')?;
    let arguments = rest.strip_suffix(')')?.split(',');
    let arguments: Vec<Value> = arguments.map(|a| value(a.trim())).collect();
    Some(Table::from_iter([(name.to_owned(), arguments.into())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> AddArgs {
        AddArgs {
            link: "order-product".to_owned(),
            words: words.iter().map(|w| (*w).to_owned()).collect(),
            action: None,
            lasts: None,
            name: None,
            methods: Vec::new(),
            callers: Vec::new(),
            users: Vec::new(),
            seed: None,
        }
    }

    fn written(args: &AddArgs) -> Value {
        let text = condition(args, "x").unwrap();
        text.parse::<Table>().unwrap()["action"].clone()
    }

    fn toml(text: &str) -> Value {
        parsed(text).unwrap()
    }

    #[test]
    fn words_become_what_a_scenario_file_says() {
        for (words, says) in [
            (vec!["down"], r#""down""#),
            (
                vec!["latency=1s", "jitter=100", "stream=upstream"],
                r#"{ toxic = "latency", latency = 1000, jitter = 100, stream = "upstream" }"#,
            ),
            (
                vec!["bandwidth=64"],
                r#"{ toxic = "bandwidth", rate = 64 }"#,
            ),
            (
                vec!["fail=20%"],
                r#"{ fail = { share = 0.2, status = "UNAVAILABLE" } }"#,
            ),
            (
                vec!["fail", "first=2", "of=call", "status=503"],
                r#"{ fail = { first = 2, of = "call", status = 503 } }"#,
            ),
            (
                vec!["work=normal(800ms, 200ms)", "share=0.5"],
                r#"{ work = { time = { normal = ["800ms", "200ms"] }, share = 0.5 } }"#,
            ),
            (
                vec!["delay=pareto(10ms,1.5)"],
                r#"{ delay = { time = { pareto = ["10ms", 1.5] } } }"#,
            ),
            (vec!["hang"], "{ hang = {} }"),
            (
                vec!["capacity=10", "service_time=50ms"],
                r#"{ capacity = { at_once = 10, service_time = "50ms" } }"#,
            ),
        ] {
            assert_eq!(written(&args(&words)), toml(says), "{words:?}");
        }
    }

    #[test]
    fn requests_can_be_chosen_and_connections_cannot() {
        let narrowed = AddArgs {
            methods: vec!["GetProducts".to_owned()],
            users: vec![7],
            ..args(&["hang"])
        };
        let says = r#"{ hang = {}, methods = ["GetProducts"], users = [7] }"#;
        assert_eq!(written(&narrowed), toml(says));
        let down = AddArgs {
            users: vec![7],
            ..args(&["down"])
        };
        assert!(condition(&down, "x").is_err());
    }

    #[test]
    fn slips_are_told() {
        let told = |words: &[&str]| condition(&args(words), "x").unwrap_err().to_string();
        assert!(told(&["latncy=5"]).contains("did you mean \"latency\"?"));
        assert!(told(&["fail", "20%"]).contains("FIELD=VALUE"));
        assert!(told(&["kill"]).contains("shop of their own"));
        let wrong = AddArgs {
            action: Some("{ fail".to_owned()),
            ..args(&[])
        };
        assert!(condition(&wrong, "x").is_err());
    }
}
