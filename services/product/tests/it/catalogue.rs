//! Reading the catalogue over REST.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use common::{As, Shop};
use reqwest::Method;
use serde_json::{Value, json};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn list_and_detail_have_the_contracts_shape() {
    let shop = Shop::with_samples().await;
    let page = shop.get("/api/products/").await;
    assert_eq!(keys(&page.body), ["count", "next", "previous", "results"]);
    assert_eq!(
        (page.body["count"].as_i64(), page.body["next"].is_null()),
        (Some(20), true)
    );
    let newest_first: Vec<i64> = (1..=20).rev().collect();
    assert_eq!(page.ids(), newest_first);
    let item = &page.body["results"][19];
    let expected = json!({
        "id": 1, "name": "ThinkBook 14 Laptop",
        "description": "14-inch business laptop, 16 GB of memory, 512 GB SSD.",
        "price": "899.99", "inventory_count": 25, "is_available": true, "category": "laptops",
        "rating": null, "review_count": 0, "image": null,
    });
    assert_eq!(*item, expected);

    let detail = shop.get("/api/products/1/").await;
    assert_eq!(detail.status, 200);
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&detail.body[key], value, "{key}");
    }
    assert_eq!(detail.body["created_at"], "2025-01-06T09:00:00.000Z");
    assert_eq!(detail.body["updated_at"], detail.body["created_at"]);
    assert_eq!(keys(&detail.body).len(), keys(&expected).len() + 2);
    assert!(detail.headers.get("x-degraded").is_none());

    let sold_out = shop.get("/api/products/19/").await;
    assert_eq!(
        (
            &sold_out.body["inventory_count"],
            &sold_out.body["is_available"]
        ),
        (&json!(0), &json!(false))
    );
}

#[tokio::test]
async fn what_is_no_product_is_a_404_with_a_whole_body() {
    let shop = Shop::with_samples().await;
    for id in [
        "21",
        "0",
        "-1",
        "+1",
        "x",
        "1.0",
        "9223372036854775808",
        "%00",
    ] {
        let answer = shop.get(&format!("/api/products/{id}/")).await;
        assert_eq!(answer.status, 404, "{id}");
        for key in ["detail", "error", "message", "code", "trace_id"] {
            assert!(answer.body[key].is_string(), "{id}: {key}");
        }
    }
}

#[tokio::test]
async fn paths_have_a_trailing_slash() {
    let shop = Shop::with_samples().await;
    // reqwest follows the 308.
    assert_eq!(shop.get("/api/products").await.ids().len(), 20);
    assert_eq!(shop.get("/api/products/1").await.status, 200);
    let made = shop
        .admin(
            Method::POST,
            "/api/products",
            json!({ "name": "A", "price": 1 }),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
}

#[tokio::test]
async fn pages_link_to_their_neighbours() {
    let shop = Shop::with_samples().await;
    let host = format!("http://{}/api/products/", shop.running.http);
    let page = shop
        .list(&[("category", "laptops"), ("page_size", "2"), ("page", "2")])
        .await;
    assert_eq!(page.body["count"], 6);
    assert_eq!(page.ids(), [4, 3]);
    let link = |n: u8| format!("{host}?category=laptops&page_size=2&page={n}");
    assert_eq!(page.body["next"], link(3));
    assert_eq!(page.body["previous"], link(1));

    let last = shop.list(&[("page_size", "7"), ("page", "last")]).await;
    assert_eq!(last.ids(), [6, 5, 4, 3, 2, 1]);
    assert_eq!(last.body["next"], Value::Null);
    for wrong in ["0", "4", "-1", "x", "9223372036854775807"] {
        assert_eq!(
            shop.list(&[("page_size", "7"), ("page", wrong)])
                .await
                .status,
            404,
            "{wrong}"
        );
    }
    assert_eq!(shop.list(&[("page_size", "1000")]).await.ids().len(), 20);
    let none = shop.list(&[("category", "none")]).await;
    assert_eq!((none.ids().len(), &none.body["count"]), (0, &json!(0)));
}

#[tokio::test]
async fn ordering_turns_the_list() {
    let shop = Shop::with_samples().await;
    let first =
        |page: &common::Answer| page.body["results"][0]["price"].as_str().map(str::to_owned);
    assert_eq!(
        first(&shop.list(&[("ordering", "price")]).await).unwrap(),
        "5.99"
    );
    assert_eq!(
        first(&shop.list(&[("ordering", "-price")]).await).unwrap(),
        "2999.99"
    );
    let by_name = shop.list(&[("ordering", "name")]).await;
    let mut sorted = by_name.names();
    sorted.sort_by_key(|name| name.to_lowercase());
    assert_eq!(by_name.names(), sorted);
    assert_eq!(
        shop.list(&[("ordering", "created_at")]).await.ids(),
        (1..=20).collect::<Vec<_>>()
    );
    assert_eq!(
        shop.list(&[("ordering", "-rating")]).await.ids(),
        (1..=20).rev().collect::<Vec<_>>()
    );
    let wrong = shop.list(&[("ordering", "id; DROP TABLE products")]).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body["ordering"].is_array(), "{}", wrong.body);
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let shop = Shop::with_samples().await;
    assert_eq!(
        shop.list(&[("category", "accessories")]).await.ids().len(),
        6
    );
    assert_eq!(shop.list(&[("in_stock", "false")]).await.ids(), [20, 19]);
    assert_eq!(shop.list(&[("in_stock", "true")]).await.ids().len(), 18);
    let band = shop
        .list(&[
            ("min_price", "5.99"),
            ("max_price", "12.99"),
            ("ordering", "price"),
        ])
        .await;
    assert_eq!(
        band.names(),
        ["Notebook A5", "Gel Pen Set", "Ceramic Coffee Mug"]
    );
    let all = [
        ("category", "laptops"),
        ("in_stock", "1"),
        ("search", "laptop"),
        ("max_price", "900"),
    ];
    assert_eq!(shop.list(&all).await.ids().len(), 2);
    for (name, value) in [
        ("min_price", "x"),
        ("max_price", "1.001"),
        ("in_stock", "perhaps"),
    ] {
        let answer = shop.list(&[(name, value)]).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body[name].is_array(), "{}", answer.body);
    }
}

#[tokio::test]
async fn search_finds_all_words_as_prefixes_best_match_first() {
    let shop = Shop::with_samples().await;
    let names = async |search: &str| {
        let page = shop.list(&[("search", search)]).await;
        page.names()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("mouse").await, ["Wireless Mouse"]);
    assert_eq!(
        names("MOU wire").await,
        ["Wireless Mouse"],
        "any order, any case, prefixes"
    );
    assert_eq!(
        names("mouse keyboard").await,
        Vec::<String>::new(),
        "all words"
    );
    assert_eq!(
        names("boom").await,
        ["Noise-Cancelling Headset"],
        "in the description"
    );
    assert_eq!(names("noise-cancel").await, ["Noise-Cancelling Headset"]);
    // The laptop stand has the word in its name, the backpack in its text alone.
    let laptops = names("laptop").await;
    let place = |name: &str| laptops.iter().position(|n| n == name).unwrap();
    assert!(
        place("Laptop Stand") < place("Backpack 20 L"),
        "{laptops:?}"
    );
    let cheapest = shop
        .list(&[("search", "laptop"), ("ordering", "price")])
        .await;
    assert_eq!(cheapest.names()[0], "Laptop Stand");
    let second = shop
        .list(&[("search", "laptop"), ("page_size", "3"), ("page", "2")])
        .await;
    assert_eq!(second.names(), laptops[3..6]);
}

// attack: operators and quotes of SQL and full-text search typed into the search -> plain words
#[tokio::test]
async fn nothing_typed_into_search_is_an_operator() {
    let shop = Shop::with_samples().await;
    let long = "x".repeat(1000);
    let cases = [
        ("\"", 0),
        ("\"mouse\"", 1),
        ("mouse\"", 1),
        ("*", 0),
        ("mou*", 1),
        ("mouse AND", 0),
        ("NOT mouse", 0),
        ("mouse OR keyboard", 0),
        ("NEAR(mouse wireless)", 0),
        ("name:mouse", 0),
        ("^mouse", 1),
        ("{name}: mouse", 0),
        ("-mouse", 1),
        ("mouse)", 1),
        ("'; DROP TABLE products; --", 0),
        ("🦀", 0),
        ("mouse 🦀", 0),
        ("mouse ★", 1),
        ("★", 0),
        ("mouse\0", 1),
        ("Café", 0),
        ("%", 0),
        ("\\", 0),
        (&*long, 0),
    ];
    for (search, found) in cases {
        let page = shop.list(&[("search", search)]).await;
        assert_eq!(page.status, 200, "{search:?}: {}", page.body);
        assert_eq!(page.ids().len(), found, "{search:?}: {:?}", page.names());
    }
    assert_eq!(
        shop.list(&[("search", "  ")]).await.ids().len(),
        20,
        "nothing typed filters nothing"
    );
    assert_eq!(
        shop.list(&[("search", &"x".repeat(1001))]).await.status,
        400
    );
}

#[tokio::test]
async fn search_follows_every_write() {
    let shop = Shop::empty().await;
    let id = shop.product("Crème brûlée torch", 1).await;
    let path = format!("/api/products/{id}/");
    let found = async |search: &str| shop.list(&[("search", search)]).await.ids().len();
    assert_eq!(
        (found("creme brulee").await, found("CRÈME").await),
        (1, 1),
        "accents make no difference"
    );
    shop.admin(Method::PATCH, &path, json!({ "name": "Gas torch" }))
        .await;
    assert_eq!((found("creme").await, found("gas").await), (0, 1));
    shop.reserve("k", &[(id, 1)]).await.unwrap();
    assert_eq!(found("gas").await, 1);
    shop.call(As::Admin, Method::DELETE, &path, None).await;
    assert_eq!(found("gas").await, 0);
}

#[tokio::test]
async fn availability_is_for_users_and_current() {
    let shop = Shop::with_samples().await;
    let path = "/api/products/3/check_availability/";
    let ask = async |who, body| shop.call(who, Method::POST, path, Some(body)).await;
    let answer = ask(As::Customer, json!({ "quantity": 8 })).await;
    let expected = json!({
        "product_id": 3, "product_name": "Creator Pro 16 Laptop", "requested_quantity": 8,
        "available_inventory": 8, "is_available": true,
    });
    assert_eq!((answer.status.as_u16(), answer.body), (200, expected));
    shop.reserve("k", &[(3, 1)]).await.unwrap();
    let answer = ask(As::Customer, json!({ "quantity": 8 })).await;
    assert_eq!(
        (
            &answer.body["available_inventory"],
            &answer.body["is_available"]
        ),
        (&json!(7), &json!(false))
    );

    assert_eq!(ask(As::Nobody, json!({ "quantity": 1 })).await.status, 401);
    for wrong in [
        json!({}),
        json!({ "quantity": 0 }),
        json!({ "quantity": "x" }),
        json!({ "quantity": 2_147_483_648_i64 }),
    ] {
        let answer = ask(As::Customer, wrong).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body["quantity"].is_array(), "{}", answer.body);
    }
    let unknown = "/api/products/99/check_availability/";
    let answer = shop
        .call(
            As::Customer,
            Method::POST,
            unknown,
            Some(json!({ "quantity": 1 })),
        )
        .await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn a_detail_shows_taken_stock_at_once_and_lists_show_an_admins_write_at_once() {
    let shop = Shop::with_samples().await;
    assert_eq!(
        shop.get("/api/products/6/").await.body["inventory_count"],
        150
    );
    assert_eq!(
        shop.list(&[("search", "mouse")]).await.body["results"][0]["inventory_count"],
        150
    );
    shop.reserve("k", &[(6, 50)]).await.unwrap();
    assert_eq!(
        shop.get("/api/products/6/").await.body["inventory_count"],
        100
    );
    shop.release("k").await;
    assert_eq!(
        shop.get("/api/products/6/").await.body["inventory_count"],
        150
    );
    shop.admin(
        Method::PATCH,
        "/api/products/6/",
        json!({ "inventory_count": 7 }),
    )
    .await;
    assert_eq!(
        shop.list(&[("search", "mouse")]).await.body["results"][0]["inventory_count"],
        7
    );
}

#[tokio::test]
async fn what_was_kept_is_served_stale_while_the_database_fails() {
    let shop = Shop::with_samples().await;
    shop.get("/api/products/6/").await;
    shop.get("/api/products/").await;
    // What was read before this has to be read again; and then it can't be.
    shop.admin(
        Method::PATCH,
        "/api/products/6/",
        json!({ "inventory_count": 7 }),
    )
    .await;
    let db = shop.db().await;
    sqlx::query("ALTER TABLE products RENAME TO gone")
        .execute(&db.write)
        .await
        .unwrap();
    for path in ["/api/products/6/", "/api/products/"] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.headers["x-degraded"], "stale");
        assert!(answer.headers.contains_key("age"));
    }
    let answer = shop.get("/api/products/8/").await;
    assert_eq!(
        (answer.status.as_u16(), answer.body["code"].as_str()),
        (500, Some("internal_error"))
    );
    sqlx::query("ALTER TABLE gone RENAME TO products")
        .execute(&db.write)
        .await
        .unwrap();
    let answer = shop.get("/api/products/6/").await;
    assert_eq!(answer.body["inventory_count"], 7);
    assert!(answer.headers.get("x-degraded").is_none());
}

#[tokio::test]
async fn the_docs_describe_every_route() {
    let shop = Shop::with_samples().await;
    let document = shop.get("/docs/product/openapi.json").await.body;
    let methods = |path: &str| keys(&document["paths"][path]).len();
    assert_eq!(methods("/api/products/"), 2);
    assert_eq!(methods("/api/products/{id}/"), 4);
    assert_eq!(methods("/api/products/{id}/check_availability/"), 1);
    assert!(
        document["components"]["schemas"]["Detail"].is_object(),
        "{document}"
    );
    assert_eq!(shop.get("/health/").await.body["status"], "healthy");
}
