//! Whether anything proves that the faults acted.

use super::Fold;
use crate::measure::Trial;
use crate::verdict;

impl Fold<'_> {
    /// Faults and conditions that are declared and that nothing proves to have acted.
    pub(super) fn not_acted(&self) -> Vec<String> {
        let schedule = self.scenario.schedule(self.run.header.quick);
        let mut why = Vec::new();
        for fault in &schedule.faults {
            let name = &fault.name;
            if !fault.inject || fault.at >= schedule.duration {
                why.push(format!(
                    "the fault `{name}` is declared, but was never injected"
                ));
                continue;
            }
            why.extend(self.idle(name, "fault", |t| verdict::acted(t, name, &fault.action)));
        }
        for name in self.conditions() {
            why.extend(self.idle(&name, "condition", |t| verdict::condition_acted(t, &name)));
        }
        why
    }

    /// The conditions that were in force in any trial.
    fn conditions(&self) -> Vec<String> {
        let all = self.run.trials.iter().flat_map(|t| &t.conditions);
        let mut names: Vec<String> = all.map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The arms and repeats in which nothing proves that it acted, in words.
    fn idle(&self, name: &str, what: &str, acted: impl Fn(&Trial) -> bool) -> Vec<String> {
        let mut why = Vec::new();
        for arm in &self.run.header.arms {
            let idle: Vec<&Trial> = self
                .run
                .counted(arm)
                .into_iter()
                .filter(|t| !acted(t))
                .collect();
            let Some(first) = idle.first() else { continue };
            let repeats: Vec<String> = idle.iter().map(|t| t.start.repeat.to_string()).collect();
            let on = place(first, name).map_or_else(String::new, |link| format!(" on {link}"));
            let counted = match first.acted(Some(name)) {
                Some(0) => ": its injector counted nothing",
                Some(_) => "",
                None if what == "condition" => ": no injector counts it",
                None => "",
            };
            why.push(format!(
                "the {what} `{name}` did not act{on} in arm {arm}, repeat {}{counted}",
                repeats.join(", ")
            ));
        }
        why
    }
}

/// Where a fault or condition was.
fn place<'a>(trial: &'a Trial, name: &str) -> Option<&'a str> {
    let injected = trial.injected.iter().find(|m| m.fault == name);
    let condition = || trial.conditions.iter().find(|(c, _)| c == name);
    injected
        .map(|m| m.link.as_str())
        .or_else(|| condition().map(|(_, link)| link.as_str()))
}
