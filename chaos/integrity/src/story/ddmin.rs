//! The smallest part that still shows it.

/// Leaves out what can be left out: halves, then quarters, down to single items. What remains shows
/// it still, and, within the budget of tries, nothing of it can go alone.
pub(super) fn minimal<T: Clone>(
    items: &[T],
    budget: usize,
    mut shows: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut kept = items.to_vec();
    if kept.is_empty() || shows(&[]) {
        return Vec::new();
    }
    let mut tries = budget;
    let mut size = kept.len().div_ceil(2);
    loop {
        let mut at = 0;
        let mut shrunk = false;
        while at < kept.len() {
            if tries == 0 {
                return kept;
            }
            tries -= 1;
            let end = (at + size).min(kept.len());
            let mut rest = kept[..at].to_vec();
            rest.extend_from_slice(&kept[end..]);
            if shows(&rest) {
                kept = rest;
                shrunk = true;
            } else {
                at = end;
            }
        }
        if size > 1 {
            size = size.div_ceil(2).min(kept.len().max(1));
        } else if !shrunk {
            return kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_few_that_matter() {
        let items: Vec<u32> = (0..1_000).collect();
        let mut tries = 0;
        let kept = minimal(&items, 1_000, |kept| {
            tries += 1;
            kept.contains(&17) && kept.contains(&803)
        });
        assert_eq!(kept, [17, 803]);
        assert!(tries < 120, "{tries}");
    }

    #[test]
    fn nothing_is_the_least_and_a_budget_is_kept() {
        assert!(minimal(&[1, 2, 3], 10, |_| true).is_empty());
        let mut tries = 0;
        let kept = minimal(&[1; 64], 5, |kept| {
            tries += 1;
            kept.len() >= 64
        });
        assert_eq!((kept.len(), tries), (64, 6));
    }
}
