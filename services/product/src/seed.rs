//! The sample catalogue: the same on every machine, ids and moments included.

use kit::Cents;

use crate::store::{Store, StoreError};

/// A product of the sample data.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub description: &'static str,
    /// Price of one unit.
    pub price: Cents,
    /// Units in stock.
    pub units: i64,
    /// Its category.
    pub category: &'static str,
    /// Made at, epoch milliseconds.
    pub created_ms: i64,
}

/// 2025-01-06T09:00:00Z; one sample a day from then on.
const FIRST_MS: i64 = 1_736_154_000_000;
const DAY_MS: i64 = 86_400_000;

type Row = (&'static str, i64, i64, &'static str);

const LAPTOPS: [Row; 5] = [
    (
        "ThinkBook 14 Laptop",
        89_999,
        25,
        "14-inch business laptop, 16 GB of memory, 512 GB SSD.",
    ),
    (
        "UltraSlim 13 Laptop",
        129_900,
        18,
        "13-inch ultralight laptop with a 20-hour battery.",
    ),
    (
        "Creator Pro 16 Laptop",
        299_999,
        8,
        "16-inch workstation laptop with a colour-true display.",
    ),
    (
        "Student 15 Laptop",
        54_950,
        40,
        "15-inch everyday laptop for study and browsing.",
    ),
    (
        "GameForce 17 Laptop",
        189_900,
        12,
        "17-inch gaming laptop with a 240 Hz display.",
    ),
];

const ACCESSORIES: [Row; 5] = [
    (
        "Wireless Mouse",
        2_499,
        150,
        "Quiet wireless mouse, two years on one battery.",
    ),
    (
        "Mechanical Keyboard",
        8_990,
        75,
        "Tenkeyless mechanical keyboard with tactile switches.",
    ),
    (
        "USB-C Hub",
        3_999,
        120,
        "Seven ports: HDMI, Ethernet, three USB-A, USB-C, card reader.",
    ),
    (
        "Laptop Stand",
        4_450,
        60,
        "Foldable aluminium stand for laptops up to 17 inches.",
    ),
    (
        "Noise-Cancelling Headset",
        14_900,
        35,
        "Over-ear wireless headset with a boom microphone.",
    ),
];

const GENERAL: [Row; 8] = [
    (
        "Ceramic Coffee Mug",
        1_299,
        200,
        "A 350 ml mug, safe for the dishwasher.",
    ),
    ("Notebook A5", 599, 300, "160 dotted pages, lies flat."),
    (
        "Desk Lamp",
        3_490,
        80,
        "Dimmable LED lamp with a warm and a cold light.",
    ),
    (
        "Water Bottle",
        1_990,
        140,
        "Steel bottle, 750 ml, keeps cold for a day.",
    ),
    (
        "Backpack 20 L",
        5_900,
        55,
        "Everyday backpack with a padded laptop sleeve.",
    ),
    (
        "Office Chair",
        24_900,
        20,
        "Ergonomic chair with lumbar support.",
    ),
    (
        "Whiteboard",
        6_750,
        30,
        "Magnetic whiteboard, 90 by 60 centimetres.",
    ),
    ("Gel Pen Set", 899, 250, "Ten gel pens in five colours."),
];

const SOLD_OUT: [(&str, Row); 2] = [
    (
        "laptops",
        (
            "Convertible 2-in-1 Laptop",
            109_900,
            0,
            "13-inch convertible laptop with a pen. Back soon.",
        ),
    ),
    (
        "accessories",
        (
            "4K Webcam",
            11_990,
            0,
            "4K webcam with autofocus. Back soon.",
        ),
    ),
];

/// The sample products: 5 laptops, 5 accessories, 8 general ones, and 2 that are
/// out of stock; ids 1 to 20.
pub fn samples() -> Vec<Sample> {
    let of =
        |category: &'static str, rows: &'static [Row]| rows.iter().map(move |row| (category, *row));
    of("laptops", &LAPTOPS)
        .chain(of("accessories", &ACCESSORIES))
        .chain(of("general", &GENERAL))
        .chain(SOLD_OUT)
        .zip(1..)
        .map(
            |((category, (name, cents, units, description)), id)| Sample {
                id,
                name,
                description,
                price: Cents(cents),
                units,
                category,
                created_ms: FIRST_MS + (id - 1) * DAY_MS,
            },
        )
        .collect()
}

/// Makes the samples that are not there yet; how many that were.
///
/// # Errors
/// As the store.
pub async fn run(store: &dyn Store) -> Result<usize, StoreError> {
    store.seed(&samples()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_as_the_contract_says() {
        let samples = samples();
        let in_stock = |category| {
            samples
                .iter()
                .filter(|s| s.category == category && s.units > 0)
                .count()
        };
        assert_eq!(samples.len(), 20);
        assert_eq!(
            (
                in_stock("laptops"),
                in_stock("accessories"),
                in_stock("general")
            ),
            (5, 5, 8)
        );
        assert_eq!(samples.iter().filter(|s| s.units == 0).count(), 2);
        assert_eq!(samples.iter().map(|s| s.price).min(), Some(Cents(599)));
        assert_eq!(samples.iter().map(|s| s.price).max(), Some(Cents(299_999)));
        let ids: Vec<i64> = samples.iter().map(|s| s.id).collect();
        assert_eq!(ids, (1..=20).collect::<Vec<_>>());
    }
}
