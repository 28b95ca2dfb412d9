//! What the HTTP shop makes of answers: done, refused, or unknown.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use integrity::http::{HttpShop, Person, Places};
use integrity::shop::{Reply, Shop as _};
use integrity::types::{Basket, Line};
use serde_json::{Value, json};

fn order(id: i64) -> Value {
    json!({
        "id": id, "user_id": "7", "status": "pending", "total_amount": "19.80",
        "items": [{"product_id": "1", "quantity": 2, "price_at_purchase": "9.90"}],
    })
}

/// What is done to an order depends on its key.
async fn place(headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let word = |word: &str| Json(json!({ "code": word, "error": "x" }));
    match key.as_str() {
        "short" => (StatusCode::BAD_REQUEST, word("insufficient_inventory")).into_response(),
        "busy" => (StatusCode::SERVICE_UNAVAILABLE, word("breaker_open")).into_response(),
        "nonsense" => (StatusCode::CREATED, "not json").into_response(),
        "half" => (StatusCode::CREATED, Json(json!({ "id": 1 }))).into_response(),
        _ => {
            assert_eq!(body["items"], json!([{ "product_id": 1, "quantity": 2 }]));
            assert_eq!(headers["authorization"], "Bearer alice");
            assert_eq!(headers["x-lab-token"], "secret");
            assert_eq!(headers["x-forwarded-for"], "10.0.0.9");
            (StatusCode::CREATED, Json(order(5))).into_response()
        }
    }
}

async fn read(Path(id): Path<i64>) -> Response {
    match id {
        404 => (StatusCode::NOT_FOUND, Json(json!({ "code": "not_found" }))).into_response(),
        1 => ([("x-degraded", "stale")], Json(order(1))).into_response(),
        _ => Json(order(id)).into_response(),
    }
}

async fn list(Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    assert_eq!(query["page_size"], "100");
    let next = (query["page"] == "1").then_some("http://shop/api/orders/?page=2");
    Json(json!({ "count": 2, "next": next, "previous": null, "results": [order(5)] }))
}

async fn books(
    State(whole): State<Value>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<Value> {
    assert_eq!(headers["authorization"], "Bearer secret");
    match query.get("only").map(String::as_str) {
        Some("open") => Json(json!({ "sagas": [], "undelivered": 3 })),
        Some("stock") => Json(json!({ "stock": whole["stock"] })),
        _ => Json(whole),
    }
}

/// The answer of each control as docs/INTEGRITY_CHECKER.md shows it.
fn product_books() -> Value {
    json!({
        "stock": [{"product": 1, "initial": 0, "restocked": 100, "available": 98, "reserved": 0,
                   "committed": 2, "ledger_sum": 98}],
        "reservations": [{"order_key": "0f1e", "state": "committed",
                          "lines": [{"product": 1, "quantity": 2}],
                          "taken": 2, "returned": 0, "expired": 0}],
    })
}

fn order_books() -> Value {
    json!({
        "sagas": [{"order_key": "0f1e", "state": "committed", "age_ms": 120, "ttl_ms": 60000}],
        "undelivered": 1,
        "outbox": {"kinds": ["pending", "cancelled"],
                   "effects": [{"event": "e1", "order": 5, "kind": "pending", "delivered": 1}]},
        "keys": [{"order": 5, "order_key": "0f1e"}],
    })
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn shop() -> HttpShop {
    let entry = Router::new()
        .route("/api/orders/", post(place).get(list))
        .route("/api/orders/{id}/", get(read));
    let books = |whole: Value| {
        Router::new()
            .route("/lab/integrity", get(books))
            .with_state(whole)
    };
    let places = Places {
        entry: serve(entry).await,
        product: serve(books(product_books())).await,
        order: serve(books(order_books())).await,
        payment: None,
        lab_token: "secret".to_owned(),
    };
    made(places)
}

fn made(places: Places) -> HttpShop {
    let person = |token: &str| Person {
        token: token.to_owned(),
        address: Some("10.0.0.9".parse().unwrap()),
    };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let customers = BTreeMap::from([(7, person("alice"))]);
    HttpShop::new(client, places, customers, person("staff"), person("admin"))
}

fn basket() -> Basket {
    let line = Line {
        product: 1,
        quantity: 2,
    };
    vec![line].into()
}

#[tokio::test]
async fn an_answer_is_done_refused_or_unknown() {
    let shop = shop().await;
    let done = shop.place(7, "fine", &basket()).await.done().unwrap();
    assert_eq!(
        (done.order.id, done.order.user, done.order.total),
        (5, 7, 1980)
    );
    assert_eq!(done.order.basket(), basket());
    let again = shop.place(7, "fine-too", &basket()).await.done().unwrap();
    assert_eq!(again.digest, done.digest);
    assert_eq!(
        shop.place(7, "short", &basket()).await,
        Reply::Refused {
            status: 400,
            error: "insufficient_inventory".to_owned()
        }
    );
    for (key, word) in [
        ("busy", "503 breaker_open"),
        ("nonsense", "JSON"),
        ("half", "status"),
    ] {
        let Reply::Unknown(why) = shop.place(7, key, &basket()).await else {
            panic!("{key} is unknown");
        };
        assert!(why.contains(word), "{key}: {why}");
    }
}

#[tokio::test]
async fn reads_say_whether_they_are_stale_and_lists_whether_they_end() {
    let shop = shop().await;
    assert!(shop.read(7, 1).await.done().unwrap().stale);
    assert!(!shop.read(7, 5).await.done().unwrap().stale);
    assert!(matches!(
        shop.read(7, 404).await,
        Reply::Refused { status: 404, .. }
    ));
    assert!(!shop.list(7, 1).await.done().unwrap().last);
    assert!(shop.list(7, 2).await.done().unwrap().last);
}

#[tokio::test]
async fn the_services_books_are_read_as_documented() {
    let shop = shop().await;
    let stock = shop.stock(true).await.unwrap();
    assert_eq!(
        (stock.stock[0].committed, stock.reservations.unwrap().len()),
        (2, 1)
    );
    assert_eq!(shop.stock(false).await.unwrap().reservations, None);
    assert_eq!(shop.open().await.unwrap().undelivered, 3);
    let orders = shop.orders().await.unwrap();
    assert_eq!(
        (orders.open.sagas.len(), orders.outbox.effects.len()),
        (1, 1)
    );
    assert_eq!(orders.keys[0].order_key, "0f1e");
    assert_eq!(shop.payments().await, Ok(None));
}

#[tokio::test]
async fn nobody_there_means_that_nothing_was_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let shop = made(Places {
        entry: nobody.clone(),
        product: nobody.clone(),
        order: nobody.clone(),
        payment: Some(nobody),
        lab_token: String::new(),
    });
    let placed = shop.place(7, "k", &basket()).await;
    assert!(
        matches!(placed, Reply::Refused { status: 0, .. }),
        "{placed:?}"
    );
    assert!(shop.payments().await.is_err());
}

#[tokio::test]
async fn a_connection_that_breaks_after_sending_is_unknown() {
    use tokio::io::AsyncReadExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Reads what comes first, then closes without an answer.
            let _ = stream.read(&mut [0; 512]).await;
        }
    });
    let shop = made(Places {
        entry: address.clone(),
        product: address.clone(),
        order: address,
        payment: None,
        lab_token: String::new(),
    });
    let placed = shop.place(7, "k", &basket()).await;
    assert!(matches!(placed, Reply::Unknown(_)), "{placed:?}");
}

/// The lab runs it on a task of its own.
#[test]
fn a_run_can_go_to_another_thread() {
    fn sendable(run: impl Future<Output = integrity::Report> + Send) {
        drop(run);
    }
    let shop = made(Places {
        entry: String::new(),
        product: String::new(),
        order: String::new(),
        payment: None,
        lab_token: String::new(),
    });
    let config = integrity::Config::new("r", 1, vec![7], vec![(1, 990)]);
    let faults = futures_util::stream::empty();
    sendable(integrity::run(
        config,
        &shop,
        faults,
        std::future::pending(),
    ));
}
