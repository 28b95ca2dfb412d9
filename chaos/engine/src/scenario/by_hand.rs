//! Reading one fault alone, for whoever breaks a running system by hand.

use toml::de::DeTable;

use super::Condition;
use super::actions::Place;
use super::line;
use super::read::Table;
use crate::diagnostics::{Collector, Diagnostics};

/// Reads what stands in a `[[condition]]` of a scenario file: `name`, `link` and
/// `action`. `file` is what problems call the text.
///
/// # Errors
/// Every problem at once, each with its place.
pub fn by_hand(text: &str, file: &str) -> Result<Condition, Diagnostics> {
    let mut c = Collector::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for e in &errors {
        c.error(
            e.span().unwrap_or(0..0),
            format!("not TOML: {}", e.message()),
        );
    }
    let places = Place { links: &[] };
    let table = Table::new(document.get_ref(), 0..1, "the fault");
    let fault = line::condition(&mut c, table, &places, &mut Vec::new());
    let items = c.finish(file)?;
    // A fault that is missing has been reported as an error.
    fault.map(|fault| fault.value).ok_or(Diagnostics {
        file: file.to_owned(),
        items,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Action;

    #[test]
    fn one_fault_is_read_like_a_condition() {
        let text = "name = \"x\"\nlink = \"order-product\"\naction = \"down\"";
        let fault = by_hand(text, "the fault").unwrap();
        assert_eq!(fault.link, "order-product");
        assert_eq!(fault.action, Action::Down);
    }

    #[test]
    fn a_slip_gets_a_suggestion() {
        let text = "name = \"x\"\nlink = \"order-prodct\"\naction = \"down\"";
        let told = by_hand(text, "the fault").unwrap_err().to_string();
        assert!(told.contains("did you mean `order-product`?"), "{told}");
    }
}
