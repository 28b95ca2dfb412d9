//! Any sequence of operations leaves the stock that a small model says, and a
//! ledger that replays to it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::{BTreeMap, HashMap},
    task::Poll,
};

use kit::{Cents, db::Db};
use product_service::{
    domain::{Changes, Demand, NewProduct, Reserved, State},
    store::{SqlStore, Store, migrate},
};
use proptest::prelude::*;
use sqlx::Row as _;

const PRODUCTS: i64 = 3;

#[derive(Clone, Debug)]
enum Step {
    Reserve(u8, BTreeMap<i64, i64>),
    Commit(u8),
    Release(u8),
    GiveUp(u8),
    Restock(i64, i64),
    Delete(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0_u8..12;
    // One more id than there are products.
    let product = 1..=PRODUCTS + 1;
    let lines = proptest::collection::btree_map(product.clone(), 1_i64..6, 1..4);
    prop_oneof![
        6 => (key.clone(), lines).prop_map(|(key, lines)| Step::Reserve(key, lines)),
        3 => key.clone().prop_map(Step::Commit),
        3 => key.clone().prop_map(Step::Release),
        2 => key.prop_map(Step::GiveUp),
        2 => (product.clone(), 0_i64..15).prop_map(|(id, units)| Step::Restock(id, units)),
        1 => product.prop_map(Step::Delete),
    ]
}

/// What should be: the rules once more, without a database.
struct Model {
    available: BTreeMap<i64, i64>,
    deleted: Vec<i64>,
    keys: HashMap<u8, (State, BTreeMap<i64, i64>)>,
}

impl Model {
    fn reserve(&mut self, key: u8, lines: &BTreeMap<i64, i64>) -> Option<bool> {
        if let Some((state, known)) = self.keys.get(&key) {
            let same = known.is_empty() || known == lines;
            return same.then_some(matches!(state, State::Held | State::Committed));
        }
        let enough = lines.iter().all(|(id, q)| {
            !self.deleted.contains(id) && self.available.get(id).is_some_and(|units| units >= q)
        });
        if enough {
            for (id, quantity) in lines {
                *self.available.get_mut(id).unwrap() -= quantity;
            }
        }
        let state = if enough { State::Held } else { State::Refused };
        self.keys.insert(key, (state, lines.clone()));
        Some(enough)
    }

    fn commit(&mut self, key: u8) -> Option<State> {
        let (state, _) = self.keys.get_mut(&key)?;
        if *state == State::Held {
            *state = State::Committed;
        }
        Some(*state)
    }

    fn release(&mut self, key: u8) -> State {
        let (state, lines) = self
            .keys
            .entry(key)
            .or_insert_with(|| (State::Released, BTreeMap::new()));
        if *state == State::Held {
            *state = State::Released;
            for (id, quantity) in lines.iter() {
                *self.available.get_mut(id).unwrap() += quantity;
            }
        }
        *state
    }
}

impl Model {
    fn give_up(&mut self, key: u8) -> State {
        let Some((state, lines)) = self.keys.get_mut(&key) else {
            return self.release(key);
        };
        if *state != State::Committed {
            return self.release(key);
        }
        *state = State::Returned;
        for (id, quantity) in lines.iter() {
            *self.available.get_mut(id).unwrap() += quantity;
        }
        State::Returned
    }
}

async fn check(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", dir.path().join("p.db").display());
    let db = Db::open("test", &url).await.unwrap();
    migrate(&db).await.unwrap();
    let store = SqlStore::new(db.clone()).unwrap();
    let mut model = Model {
        available: BTreeMap::new(),
        deleted: Vec::new(),
        keys: HashMap::new(),
    };
    for n in 1..=PRODUCTS {
        let product = NewProduct {
            name: format!("P{n}"),
            description: String::new(),
            price: Cents(100),
            units: n * 4,
            category: None,
        };
        let id = store.create(product, 0).await.unwrap().id;
        model.available.insert(id, n * 4);
    }
    for (at, step) in steps.into_iter().enumerate() {
        run(&store, &mut model, step, i64::try_from(at).unwrap()).await;
        replay(&db, &model).await;
    }
}

async fn run(store: &SqlStore, model: &mut Model, step: Step, at: i64) {
    match step {
        Step::Reserve(key, lines) => {
            let demand = Demand {
                ttl_ms: None,
                order_key: key.to_string(),
                lines: lines.clone(),
            };
            let told = match store.reserve(&demand, at).await.unwrap() {
                Reserved::Yes { .. } => Some(true),
                Reserved::Short(_) | Reserved::Over(_) => Some(false),
                Reserved::OtherLines => None,
            };
            assert_eq!(told, model.reserve(key, &lines));
        }
        Step::Commit(key) => assert_eq!(
            store.commit(&key.to_string(), at).await.unwrap(),
            model.commit(key)
        ),
        Step::Release(key) => {
            let told = store.release(&key.to_string(), at).await.unwrap();
            assert_eq!(told.state, model.release(key));
        }
        Step::GiveUp(key) => {
            let told = store.give_up(&key.to_string(), at).await.unwrap();
            assert_eq!(told.state, model.give_up(key));
        }
        Step::Restock(id, units) => {
            let changes = Changes {
                units: Some(units),
                ..Changes::default()
            };
            let there = model.available.contains_key(&id) && !model.deleted.contains(&id);
            assert_eq!(
                store.change(id, changes, at).await.unwrap().is_some(),
                there
            );
            if there {
                model.available.insert(id, units);
            }
        }
        Step::Delete(id) => {
            let there = model.available.contains_key(&id) && !model.deleted.contains(&id);
            assert_eq!(store.delete(id, at).await.unwrap(), there);
            if there {
                model.deleted.push(id);
            }
        }
    }
}

/// The row, the ledger's sum and the model agree on every product.
async fn replay(db: &Db, model: &Model) {
    let rows = sqlx::query(
        "SELECT p.id, p.available, SUM(l.delta) AS replayed FROM products p \
         JOIN stock_ledger l ON l.product_id = p.id GROUP BY p.id, p.available",
    )
    .fetch_all(&db.read)
    .await
    .unwrap();
    let of = |column: &str| -> BTreeMap<i64, i64> {
        rows.iter()
            .map(|row| (row.get("id"), row.get(column)))
            .collect()
    };
    assert_eq!(of("available"), model.available);
    assert_eq!(of("replayed"), model.available);
    assert!(model.available.values().all(|units| *units >= 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_replays_to_the_row(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}

/// A caller that leaves (a time-out, a reset) drops the call wherever it stands.
/// Nothing may be half done then, and the one writer must be free again.
#[tokio::test]
async fn a_call_that_is_dropped_anywhere_is_done_or_undone() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", dir.path().join("p.db").display());
    let db = Db::open("test", &url).await.unwrap();
    migrate(&db).await.unwrap();
    let store = SqlStore::new(db.clone()).unwrap();
    let mut available = BTreeMap::new();
    for n in 1..=2 {
        let product = NewProduct {
            name: format!("P{n}"),
            description: String::new(),
            price: Cents(100),
            units: 1_000_000,
            category: None,
        };
        available.insert(store.create(product, 0).await.unwrap().id, 1_000_000);
    }
    let lines = BTreeMap::from([(1, 1), (2, 2)]);
    let (mut dropped, mut done) = (0, 0);
    for n in 0..200 {
        let demand = Demand {
            ttl_ms: None,
            order_key: format!("k{n}"),
            lines: lines.clone(),
        };
        // Polls a growing number of times: through every await of the call.
        let call = store.reserve(&demand, 0);
        if polled(call, n / 4).await {
            done += 1;
        } else {
            dropped += 1;
        }
    }
    assert!(dropped > 0 && done > 0, "{dropped} dropped, {done} done");
    let held = sqlx::query("SELECT COUNT(*) FROM reservations WHERE state = 'held'")
        .fetch_one(&db.write)
        .await
        .unwrap();
    let held: i64 = held.get(0);
    assert!(held >= done);
    available.insert(1, 1_000_000 - held);
    available.insert(2, 1_000_000 - 2 * held);
    replay(
        &db,
        &Model {
            available,
            deleted: Vec::new(),
            keys: HashMap::new(),
        },
    )
    .await;
}

/// Polls a future up to so many times, then drops it; whether it ended.
async fn polled<F: Future>(future: F, times: usize) -> bool {
    let mut future = std::pin::pin!(future);
    let mut left = times;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(cx).map(|_| true)
    })
    .await
}
