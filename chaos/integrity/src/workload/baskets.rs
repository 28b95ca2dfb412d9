//! Baskets that tell orders apart: no two numbers have the same one, so that an order at rest is
//! joined to the operation that asked for it by its content alone.

use crate::types::{Basket, Line, ProductId};

/// The most lines of a basket.
const LINES: usize = 3;

/// Makes the basket of a number.
#[derive(Clone, Debug)]
pub struct Baskets {
    products: Vec<ProductId>,
    lines: usize,
    combinations: u64,
}

impl Baskets {
    /// Over these products, of which there is at least one; at most 64 are used.
    #[must_use]
    pub fn new(products: &[ProductId]) -> Self {
        let mut products = products.to_vec();
        products.sort_unstable();
        products.dedup();
        products.truncate(64);
        let lines = LINES.min(products.len());
        Self {
            combinations: choose(products.len() as u64, lines as u64).max(1),
            lines,
            products,
        }
    }

    /// The basket of that number: a combination of products, and quantities that tell the rounds
    /// of all combinations apart and grow as slowly as they can.
    #[must_use]
    pub fn nth(&self, number: u64) -> Basket {
        let (round, combination) = (number / self.combinations, number % self.combinations);
        let quantities = spread(round, self.lines);
        let chosen = self.combination(combination);
        let lines = chosen.into_iter().zip(quantities);
        lines
            .map(|(product, quantity)| Line { product, quantity })
            .collect::<Vec<_>>()
            .into()
    }

    /// The combination of that rank, in the order of the products.
    fn combination(&self, mut rank: u64) -> Vec<ProductId> {
        let mut chosen = Vec::with_capacity(self.lines);
        let count = self.products.len();
        for (at, product) in self.products.iter().enumerate() {
            let open = self.lines - chosen.len();
            if open == 0 {
                break;
            }
            let with_it = choose((count - at - 1) as u64, open as u64 - 1);
            if rank < with_it {
                chosen.push(*product);
            } else {
                rank -= with_it;
            }
        }
        chosen
    }
}

/// Quantities, 1 or more: the number's bits dealt out in turn (a Morton code), which is one-to-one
/// and grows with the root of the number.
fn spread(number: u64, lines: usize) -> Vec<i64> {
    let mut quantities = vec![1; lines];
    for bit in 0..63 {
        if number >> bit & 1 == 1 {
            quantities[bit % lines] += 1_i64 << (bit / lines);
        }
    }
    quantities
}

fn choose(of: u64, take: u64) -> u64 {
    if take > of {
        return 0;
    }
    (0..take).fold(1, |ways, i| ways * (of - i) / (i + 1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_numbers_have_the_same_basket() {
        for count in [1, 2, 3, 5, 20] {
            let products: Vec<ProductId> = (1..=count).collect();
            let baskets = Baskets::new(&products);
            let seen: HashSet<Basket> = (0..20_000).map(|n| baskets.nth(n)).collect();
            assert_eq!(seen.len(), 20_000, "{count} products");
        }
    }

    #[test]
    fn a_hundred_thousand_orders_of_twenty_products_need_few_units_each() {
        let products: Vec<ProductId> = (1..=20).collect();
        let baskets = Baskets::new(&products);
        let most = (0..100_000)
            .flat_map(|n| baskets.nth(n).lines().to_vec())
            .map(|line| line.quantity)
            .max();
        assert!(most.unwrap() <= 8, "{most:?}");
    }

    #[test]
    fn choosing_counts() {
        assert_eq!(
            [choose(5, 2), choose(5, 0), choose(2, 3), choose(20, 3)],
            [10, 1, 0, 1140]
        );
    }
}
