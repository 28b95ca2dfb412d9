//! Reading orders, and the quote.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use common::{BUYER, Shop, assert_error, poll, read};
use serde_json::{Value, json};

const OTHER: i64 = 4;

fn ids(page: &Value) -> Vec<i64> {
    let results = page["results"].as_array().unwrap();
    results
        .iter()
        .map(|order| order["id"].as_i64().unwrap())
        .collect()
}

/// Three orders of BUYER (1, 3, 5) and two of OTHER (2, 4).
async fn with_orders() -> Shop {
    let shop = Shop::open().await;
    for n in 1..=5 {
        let owner = if n % 2 == 1 { BUYER } else { OTHER };
        shop.order(owner, &[(n, 1), (n + 10, 2)]).await;
    }
    shop
}

#[tokio::test]
async fn ones_own_orders_newest_first() {
    let shop = with_orders().await;
    let (status, page) = read(shop.get(BUYER, "/api/orders/")).await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(page["count"], 3);
    assert_eq!(ids(&page), [5, 3, 1]);
    assert_eq!(
        (&page["next"], &page["previous"]),
        (&Value::Null, &Value::Null)
    );
    let order = &page["results"][0];
    assert_eq!(order["item_count"], 2);
    assert_eq!(order["user_id"], BUYER.to_string());
    assert_eq!(order["items"][0]["product_id"], "5");
    assert_eq!(order["total_amount"], "36.50");
    // What a customer asks for somebody else is not answered with somebody else's.
    let (_, page) = read(shop.get(BUYER, &format!("/api/orders/?user_id={OTHER}"))).await;
    assert_eq!(ids(&page), [5, 3, 1]);
    let (_, none) = read(shop.get(77, "/api/orders/")).await;
    assert_eq!((&none["count"], ids(&none)), (&json!(0), vec![]));
}

#[tokio::test]
async fn pages_link_to_their_neighbours() {
    let shop = with_orders().await;
    let (_, first) = read(shop.get(BUYER, "/api/orders/?page_size=2&status=pending")).await;
    assert_eq!(ids(&first), [5, 3]);
    let next = first["next"].as_str().unwrap();
    assert!(
        next.starts_with(&shop.base) && next.contains("status=pending"),
        "{next}"
    );
    let (_, second) = read(shop.get(BUYER, next.strip_prefix(&shop.base).unwrap())).await;
    assert_eq!(ids(&second), [1]);
    assert!(second["previous"].as_str().unwrap().contains("page=1"));
    let (_, last) = read(shop.get(BUYER, "/api/orders/?page_size=2&page=last")).await;
    assert_eq!(ids(&last), [1]);
    let (status, body) = read(shop.get(BUYER, "/api/orders/?page=2")).await;
    assert_eq!((status, &body["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn staff_see_all_and_filter() {
    let shop = with_orders().await;
    let sql = shop.sql().await;
    shop.all_committed(5).await;
    sqlx::query("UPDATE orders SET status = 'shipped' WHERE id IN (2, 3)")
        .execute(&sql)
        .await
        .unwrap();
    let list = async |query: &str| {
        let (status, page) = read(shop.get_as_staff(&format!("/api/orders/{query}"))).await;
        assert_eq!(status, 200, "{page}");
        ids(&page)
    };
    assert_eq!(list("").await, [5, 4, 3, 2, 1]);
    assert_eq!(list(&format!("?user_id={OTHER}")).await, [4, 2]);
    assert_eq!(list("?status=shipped").await, [3, 2]);
    assert_eq!(list(&format!("?user_id={BUYER}&status=shipped")).await, [3]);
    assert_eq!(list("?user_id=77").await, Vec::<i64>::new());
    for (query, field) in [("?user_id=me", "user_id"), ("?status=lost", "status")] {
        let (status, body) = read(shop.get_as_staff(&format!("/api/orders/{query}"))).await;
        assert_eq!(status, 400, "{body}");
        assert_error(&body, "Validation failed");
        assert!(body[field].is_array(), "{body}");
    }
}

// attack(others' orders): reading another's order by its id -> 404, as for one that nobody has
#[tokio::test]
async fn an_order_is_for_its_owner_and_the_staff() {
    let shop = with_orders().await;
    let (status, order) = read(shop.get(BUYER, "/api/orders/1/")).await;
    assert_eq!((status, &order["id"]), (200, &json!(1)));
    let (status, seen) = read(shop.get_as_staff("/api/orders/1/")).await;
    assert_eq!((status, seen), (200, order));
    let mut answers = Vec::new();
    for path in [
        "/api/orders/2/",
        "/api/orders/99/",
        "/api/orders/x/",
        "/api/orders/-1/",
    ] {
        let (status, mut body) = read(shop.get(BUYER, path)).await;
        body.as_object_mut().unwrap().remove("trace_id");
        assert_eq!(status, 404, "{path}: {body}");
        answers.push(body);
    }
    assert!(
        answers.windows(2).all(|two| two[0] == two[1]),
        "somebody else's looks like nobody's"
    );
}

// attack(others' orders): another's history by the user's id -> 403, with orders and without
#[tokio::test]
async fn a_users_history_is_for_that_user_and_the_staff() {
    let shop = with_orders().await;
    let path = format!("/api/orders/user/{BUYER}/");
    let (status, page) = read(shop.get(BUYER, &path)).await;
    assert_eq!((status, ids(&page)), (200, vec![5, 3, 1]));
    let (status, page) = read(shop.get_as_staff(&path)).await;
    assert_eq!((status, ids(&page)), (200, vec![5, 3, 1]));
    for path in [path.as_str(), "/api/orders/user/77/"] {
        let (status, body) = read(shop.get(OTHER, path)).await;
        assert_eq!(
            (status, &body["code"]),
            (403, &json!("permission_denied")),
            "{body}"
        );
    }
    let (status, _) = read(shop.get(OTHER, "/api/orders/user/me/")).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn nothing_is_read_anonymously() {
    let shop = Shop::open().await;
    for path in [
        "/api/orders/",
        "/api/orders/1/",
        "/api/orders/user/4/",
        "/api/orders/quote/?items=1x1",
    ] {
        let (status, body) = read(shop.get_anonymously(path)).await;
        assert_eq!(
            (status, &body["code"]),
            (401, &json!("not_authenticated")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_quote_prices_lines_and_says_what_is_there() {
    let shop = Shop::open().await;
    let (status, quote) = read(shop.get(BUYER, "/api/orders/quote/?items=1x2,5x1,1x1,2x101")).await;
    assert_eq!(status, 200, "{quote}");
    assert_eq!(
        quote,
        json!({
            "items": [
                { "product_id": "1", "quantity": 3, "price": "1.50", "available": true, "subtotal": "4.50" },
                { "product_id": "5", "quantity": 1, "price": "5.50", "available": true, "subtotal": "5.50" },
                { "product_id": "2", "quantity": 101, "price": "2.50", "available": false, "subtotal": "252.50" },
            ],
            "total_amount": "262.50",
        })
    );
    assert_eq!(shop.products.calls.methods(), ["GetProducts"]);
    assert_eq!(shop.products.units(1), 100, "a quote takes nothing");
}

#[tokio::test]
async fn a_quote_refuses_what_an_order_would() {
    let shop = Shop::open().await;
    for query in [
        "",
        "?items=",
        "?items=1",
        "?items=1x0",
        "?items=axb",
        "?items=1x1,,2x1",
    ] {
        let (status, body) = read(shop.get(BUYER, &format!("/api/orders/quote/{query}"))).await;
        assert_eq!(status, 400, "{query}: {body}");
        assert_error(&body, "Validation failed");
        assert!(body["items"].is_array(), "{body}");
    }
    assert!(shop.products.calls.seen().is_empty());
    let (status, body) = read(shop.get(BUYER, "/api/orders/quote/?items=1x1,77x1")).await;
    assert_eq!(status, 400);
    assert_error(&body, "Product validation failed");
    assert!(body["detail"].as_str().unwrap().contains("77"), "{body}");
}

#[tokio::test]
async fn paths_end_with_a_slash() {
    let shop = Shop::open().await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let token = shop.keys.token(BUYER, &[]);
    let get = client
        .get(shop.url("/api/orders?page=1"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(get.status(), 308);
    assert_eq!(get.headers()["location"], "/api/orders/?page=1");
    let body = common::order_body(&[(1, 1)]);
    let post = client
        .post(shop.url("/api/orders"))
        .bearer_auth(&token)
        .json(&body);
    assert_eq!(post.send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn no_file_of_the_database_has_the_owners_id() {
    let mut shop = Shop::open().await;
    for _ in 0..20 {
        shop.order(BUYER, &[(1, 1)]).await;
    }
    shop.all_committed(20).await;
    let name = shop.database();
    let files = || {
        let dir = std::fs::read_dir(name.parent().unwrap()).unwrap();
        // Beside the database's files lies the folder of the mails, which are for their owners.
        dir.map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| std::fs::read(path).unwrap())
            .collect::<Vec<_>>()
    };
    let mut seen = files();
    shop.stop().await;
    seen.extend(files());
    let has = |needle: &[u8]| {
        seen.iter()
            .any(|file| file.windows(needle.len()).any(|w| w == needle))
    };
    assert!(has(b"Thing 1"), "other columns are plain");
    let id = i32::try_from(BUYER).unwrap();
    for needle in [
        BUYER.to_string().into_bytes(),
        id.to_be_bytes().into(),
        id.to_le_bytes().into(),
    ] {
        assert!(!has(&needle), "{needle:?}");
    }
}

// attack(swapped ciphertext): an order's owner swapped with another order's -> refused, 500, nothing of it is shown
#[tokio::test]
async fn an_owner_moved_to_another_order_is_refused() {
    let shop = with_orders().await;
    shop.all_committed(5).await;
    let swap = "UPDATE orders SET user_cipher = (SELECT user_cipher FROM orders WHERE id = 1) WHERE id = 2";
    sqlx::query(swap).execute(&shop.sql().await).await.unwrap();
    let (status, body) = read(shop.get(BUYER, "/api/orders/2/")).await;
    assert_eq!(
        (status, &body["code"]),
        (500, &json!("internal_error")),
        "{body}"
    );
    let (status, _) = read(shop.get(BUYER, "/api/orders/1/")).await;
    assert_eq!(status, 200);
}

// attack(unknown key): an order's owner sealed with a key that the service does not have -> refused, 500, nothing of it is shown
#[tokio::test]
async fn an_owner_sealed_with_an_unknown_key_is_refused() {
    let shop = with_orders().await;
    shop.all_committed(5).await;
    let foreign =
        "UPDATE orders SET user_cipher = replace(user_cipher, 'v1.lab.', 'v1.other.') WHERE id = 1";
    let changed = sqlx::query(foreign).execute(&shop.sql().await).await;
    assert_eq!(changed.unwrap().rows_affected(), 1);
    let (status, body) = read(shop.get(BUYER, "/api/orders/1/")).await;
    assert_eq!(
        (status, &body["code"]),
        (500, &json!("internal_error")),
        "{body}"
    );
    assert!(body["items"].is_null(), "{body}");
    assert_eq!(read(shop.get(BUYER, "/api/orders/3/")).await.0, 200);
}

#[tokio::test]
async fn orders_outlive_a_restart() {
    let mut shop = with_orders().await;
    let (_, before) = read(shop.get(BUYER, "/api/orders/3/")).await;
    shop.restart().await;
    let (_, after) = read(shop.get(BUYER, "/api/orders/3/")).await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn the_document_names_every_route() {
    let shop = Shop::open().await;
    let (status, document) = read(shop.get_anonymously("/docs/order/openapi.json")).await;
    assert_eq!(status, 200);
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/api/orders/",
            "/api/orders/quote/",
            "/api/orders/user/{user_id}/",
            "/api/orders/{id}/",
            "/api/orders/{id}/cancel/",
            "/api/orders/{id}/status/"
        ]
    );
    assert!(
        document["components"]["schemas"]["OrderView"]["properties"]["user_id"]["type"] == "string"
    );
    let page = poll("page", || async {
        shop.get_anonymously("/docs/order/")
            .send()
            .await
            .ok()?
            .text()
            .await
            .ok()
    })
    .await;
    assert!(page.contains("swagger-ui"), "{page}");
}
