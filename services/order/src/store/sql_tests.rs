use std::collections::HashSet;

use kit::crypto::FieldKeys;
use sqlx::Row as _;
use tempfile::TempDir;

use super::*;
use crate::domain::{Basket, Status};

const OWNER: i64 = 987_654_321;

async fn open() -> (TempDir, SqlStore) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!(
        "sqlite://{}?mode=rwc",
        dir.path().join("order.db").display()
    );
    let db = Db::open("order", &url).await.unwrap();
    db.migrate(MIGRATIONS).await.unwrap();
    (
        dir,
        SqlStore::new(db, FieldCipher::new(&FieldKeys::for_test())),
    )
}

fn item(product_id: i64, quantity: i64) -> Item {
    let product_name = format!("Thing {product_id}");
    Item {
        id: 0,
        product_id,
        product_name,
        quantity,
        price: Cents(990),
    }
}

fn order(key: &str, user_id: i64, status: Status) -> NewOrder {
    NewOrder {
        order_key: key.to_owned(),
        user_id,
        contact: None,
        status,
        reservation: Reservation::Committed,
        basket: Basket::new(vec![item(9, 2), item(4, 1)]).unwrap(),
        created_ms: 1_795_456_269_123,
    }
}

async fn plan(store: &SqlStore, sql: String, binds: usize) -> String {
    let mut query = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
    for _ in 0..binds {
        query = query.bind(1_i64);
    }
    let rows = query.fetch_all(&store.db.read).await.unwrap();
    rows.iter()
        .map(|row| row.get::<String, _>("detail"))
        .collect::<Vec<_>>()
        .join("; ")
}

#[tokio::test]
async fn an_order_is_read_as_it_was_written() {
    let (_dir, store) = open().await;
    let written = store
        .insert(&order("a", OWNER, Status::Pending))
        .await
        .unwrap();
    assert_eq!(written.total, Cents(2970));
    assert_eq!(
        written
            .items
            .iter()
            .map(|i| i.product_id)
            .collect::<Vec<_>>(),
        [9, 4]
    );
    assert_eq!(
        store.find(written.id).await.unwrap().as_ref(),
        Some(&written)
    );
    assert_eq!(
        store.find_by_key("a").await.unwrap().as_ref(),
        Some(&written)
    );
    assert_eq!(
        store.list(Filter::of(OWNER), 0, 20).await.unwrap(),
        [written]
    );
    assert_eq!(store.find(99).await.unwrap(), None);
    assert_eq!(store.find_by_key("b").await.unwrap(), None);
}

#[tokio::test]
async fn one_key_is_one_order_and_a_failed_one_leaves_no_lines() {
    let (_dir, store) = open().await;
    store
        .insert(&order("a", OWNER, Status::Pending))
        .await
        .unwrap();
    let again = store
        .insert(&order("a", OWNER, Status::Pending))
        .await
        .unwrap_err();
    let OrderError::Database(again) = again else {
        panic!("{again}")
    };
    assert!(kit::db::is_unique_violation(&again));
    let lines: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM order_items")
        .fetch_one(&store.db.read)
        .await
        .unwrap();
    assert_eq!(lines, 2);
}

#[tokio::test]
async fn filters_and_windows_meet() {
    let (_dir, store) = open().await;
    for n in 0..7 {
        let (owner, status) = match n % 3 {
            0 => (OWNER, Status::Pending),
            1 => (OWNER, Status::Shipped),
            _ => (4, Status::Pending),
        };
        store
            .insert(&order(&format!("k{n}"), owner, status))
            .await
            .unwrap();
    }
    let ids = async |filter, offset, limit| {
        let orders = store.list(filter, offset, limit).await.unwrap();
        orders.iter().map(|order| order.id).collect::<Vec<_>>()
    };
    let both = Filter {
        owner: Some(OWNER),
        status: Some(Status::Pending),
    };
    let pending = Filter {
        owner: None,
        status: Some(Status::Pending),
    };
    assert_eq!(ids(Filter::default(), 0, 20).await, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(Filter::default(), 2, 2).await, [5, 4]);
    assert_eq!(ids(Filter::of(OWNER), 0, 20).await, [7, 5, 4, 2, 1]);
    assert_eq!(ids(pending, 0, 20).await, [7, 6, 4, 3, 1]);
    assert_eq!(ids(both, 0, 20).await, [7, 4, 1]);
    for (filter, count) in [
        (Filter::default(), 7),
        (Filter::of(OWNER), 5),
        (pending, 5),
        (both, 3),
    ] {
        assert_eq!(store.count(filter).await.unwrap(), count, "{filter:?}");
    }
    assert_eq!(store.count(Filter::of(5)).await.unwrap(), 0);
}

#[tokio::test]
async fn history_is_found_through_the_owner_index_without_sorting() {
    let (_dir, store) = open().await;
    let found = plan(&store, list_sql(Filter::of(1)), 3).await;
    assert_eq!(
        found,
        "SEARCH orders USING INDEX orders_by_owner (owner_index=?)"
    );
    let counted = plan(&store, count_sql(Filter::of(1)), 1).await;
    assert!(
        counted.contains("COVERING INDEX orders_by_owner"),
        "{counted}"
    );
    let status = Filter {
        owner: None,
        status: Some(Status::Pending),
    };
    let found = plan(&store, list_sql(status), 3).await;
    assert_eq!(
        found,
        "SEARCH orders USING INDEX orders_by_status (status=?)"
    );
    let items = plan(&store, items_sql(3), 3).await;
    assert!(
        items.contains("SEARCH order_items USING INDEX order_items_by_order"),
        "{items}"
    );
    assert!(!items.contains("TEMP B-TREE"), "{items}");
}

#[tokio::test]
async fn unfinished_orders_are_found_until_they_are_final() {
    let (_dir, store) = open().await;
    for key in ["a", "b"] {
        let held = NewOrder {
            reservation: Reservation::Held,
            ..order(key, OWNER, Status::Pending)
        };
        let id = store.insert(&held).await.unwrap().id;
        assert_eq!(store.find(id).await.unwrap(), None, "not shown yet");
    }
    assert_eq!(store.unfinished(10).await.unwrap(), ["a", "b"]);
    assert_eq!(store.unfinished(1).await.unwrap(), ["a"]);
    store.mark_committed("a").await.unwrap();
    store.mark_committed("a").await.unwrap();
    assert_eq!(store.unfinished(10).await.unwrap(), ["b"]);
    let sql = "SELECT order_key FROM orders WHERE reservation_state = 'held' ORDER BY id LIMIT $1";
    let plan = plan(&store, sql.to_owned(), 1).await;
    assert!(plan.contains("USING INDEX orders_unfinished"), "{plan}");
}

#[tokio::test]
async fn a_full_page_has_the_lines_of_every_order_from_one_statement() {
    let (_dir, store) = open().await;
    for n in 0..100 {
        store
            .insert(&order(&format!("k{n}"), OWNER, Status::Pending))
            .await
            .unwrap();
    }
    let page = store.list(Filter::of(OWNER), 0, 100).await.unwrap();
    assert_eq!(page.len(), 100);
    assert!(page.iter().all(|order| order.items.len() == 2));
    // One statement names all orders of the page.
    assert_eq!(items_sql(100).matches('$').count(), 100);
}

#[tokio::test]
async fn an_owner_moved_to_another_row_is_refused() {
    let (_dir, store) = open().await;
    let mine = store
        .insert(&order("mine", OWNER, Status::Pending))
        .await
        .unwrap();
    store
        .insert(&order("theirs", 4, Status::Pending))
        .await
        .unwrap();
    sqlx::query(
        "UPDATE orders SET user_cipher = (SELECT user_cipher FROM orders WHERE order_key = 'theirs') \
         WHERE order_key = 'mine'",
    )
    .execute(&store.db.write)
    .await
    .unwrap();
    let error = store.find(mine.id).await.unwrap_err();
    assert!(
        matches!(&error, OrderError::Field { order_key, error } if order_key == "mine"
            && *error == kit::crypto::CryptoError::Refused),
        "{error}"
    );
}

#[tokio::test]
async fn equal_owners_have_equal_indexes_and_unequal_ciphers() {
    let (_dir, store) = open().await;
    for n in 0..500 {
        store
            .insert(&order(&format!("k{n}"), OWNER, Status::Pending))
            .await
            .unwrap();
    }
    let rows = sqlx::query("SELECT user_cipher, owner_index FROM orders")
        .fetch_all(&store.db.read)
        .await
        .unwrap();
    let column = |name: &str| {
        rows.iter()
            .map(|row| row.get(name))
            .collect::<HashSet<String>>()
    };
    let nonces: HashSet<String> = column("user_cipher")
        .iter()
        .map(|sealed| sealed.rsplit('.').next().unwrap()[..16].to_owned())
        .collect();
    assert_eq!(
        nonces.len(),
        500,
        "16 base64 characters are the 96-bit nonce"
    );
    assert_eq!(column("owner_index").len(), 1);
}
