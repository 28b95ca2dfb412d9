//! Stock and reservations over gRPC.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use std::sync::Arc;

use common::{As, Shop};
use proto::product::{
    AvailabilityRequest, GetProductsRequest, ProductInfoRequest, ReservationRequest,
    ReservationState, product_service_client::ProductServiceClient,
};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::{Code, Status};

const UNKNOWN: i32 = ReservationState::Unknown as i32;
const COMMITTED: i32 = ReservationState::Committed as i32;
const RELEASED: i32 = ReservationState::Released as i32;

#[tokio::test]
async fn products_are_told_one_by_one_and_many_at_once() {
    let shop = Shop::with_samples().await;
    let info = shop.info(3).await.unwrap();
    assert_eq!(
        (info.id, info.name.as_str(), info.price.as_str()),
        (3, "Creator Pro 16 Laptop", "2999.99")
    );
    assert_eq!((info.inventory_count, info.is_available), (8, true));
    for id in [21, 0, -1, i32::MAX, i32::MIN] {
        assert_eq!(shop.info(id).await, None);
    }
    let ask = async |product_ids: Vec<i32>| {
        let request = GetProductsRequest {
            product_ids,
            requesting_service: "test".into(),
        };
        shop.grpc
            .clone()
            .get_products(request)
            .await
            .map(|answer| answer.into_inner().products)
    };
    let answers = ask(vec![7, 99, 3, 7, -5, 19]).await.unwrap();
    let ids: Vec<Option<i32>> = answers
        .iter()
        .map(|a| a.product_info.as_ref().map(|i| i.id))
        .collect();
    assert_eq!(
        ids,
        [Some(7), None, Some(3), Some(7), None, Some(19)],
        "in the order asked"
    );
    assert!(answers.iter().all(|a| a.exists == a.product_info.is_some() && a.exists == a.error_message.is_empty()));
    assert_eq!(ask(vec![]).await.unwrap(), []);
    assert_eq!(
        ask((1..=200).collect())
            .await
            .unwrap()
            .iter()
            .filter(|a| a.exists)
            .count(),
        20
    );
    assert_eq!(
        ask((1..=201).collect()).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn availability_over_grpc() {
    let shop = Shop::with_samples().await;
    let ask = async |product_id, quantity| {
        let request = AvailabilityRequest {
            product_id,
            quantity,
            requesting_service: "test".into(),
        };
        shop.grpc
            .clone()
            .check_availability(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let answer = ask(3, 8).await.unwrap();
    assert!(answer.available && answer.available_quantity == 8 && answer.error_message.is_empty());
    let answer = ask(3, 9).await.unwrap();
    assert!(
        !answer.available && answer.available_quantity == 8 && !answer.error_message.is_empty()
    );
    let answer = ask(99, 1).await.unwrap();
    assert!(
        !answer.available && answer.available_quantity == 0 && !answer.error_message.is_empty()
    );
    for quantity in [0, -1] {
        assert_eq!(
            ask(3, quantity).await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
}

// attack(gRPC secret): gRPC of the product service without the secret -> UNAUTHENTICATED
#[tokio::test]
async fn without_the_secret_nothing_is_told() {
    let shop = Shop::with_samples().await;
    let mut stranger =
        ProductServiceClient::connect(format!("http://{}", shop.running.grpc.unwrap()))
            .await
            .unwrap();
    let request = ProductInfoRequest {
        product_id: 1,
        requesting_service: "test".into(),
    };
    assert_eq!(
        stranger.get_product_info(request).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let request = ReservationRequest {
        order_key: "k".into(),
        requesting_service: "test".into(),
    };
    assert_eq!(
        stranger
            .release_reservation(request)
            .await
            .unwrap_err()
            .code(),
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn a_reservation_takes_all_lines_or_none() {
    let shop = Shop::empty().await;
    let (a, b) = (shop.product("A", 5).await, shop.product("B", 2).await);
    let refused = shop
        .reserve("k1", &[(a, 3), (b, 3), (999, 1)])
        .await
        .unwrap();
    assert!(!refused.reserved);
    let shortages: Vec<_> = refused
        .shortages
        .iter()
        .map(|s| (s.product_id, s.exists, s.available_quantity))
        .collect();
    assert_eq!(shortages, [(b, true, 2), (999, false, 0)]);
    assert_eq!((shop.units(a).await, shop.units(b).await), (5, 2));
    assert_eq!(shop.ledger(a).await.1.len(), 1);

    let reserved = shop.reserve("k2", &[(a, 3), (b, 2)]).await.unwrap();
    assert!(reserved.reserved && reserved.shortages.is_empty());
    assert_eq!((shop.units(a).await, shop.units(b).await), (2, 0));
    assert_eq!(shop.ledger(b).await.0, 0);
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 5).await;
    for _ in 0..3 {
        assert!(shop.reserve("k", &[(id, 3)]).await.unwrap().reserved);
        assert_eq!(shop.units(id).await, 2);
    }
    let first = shop.reserve("short", &[(id, 3)]).await.unwrap();
    assert_eq!(first.shortages[0].available_quantity, 2);
    shop.admin(
        Method::PATCH,
        &format!("/api/products/{id}/"),
        json!({ "inventory_count": 50 }),
    )
    .await;
    assert_eq!(
        shop.reserve("short", &[(id, 3)]).await.unwrap(),
        first,
        "a refusal is an answer too"
    );
    assert_eq!(shop.commit("short").await, UNKNOWN);

    let other = shop.reserve("k", &[(id, 4)]).await.unwrap_err();
    assert_eq!(other.code(), Code::FailedPrecondition);
    assert_eq!(shop.units(id).await, 50);
}

#[tokio::test]
async fn held_goes_to_committed_or_released_once() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 10).await;
    shop.reserve("sold", &[(id, 3)]).await.unwrap();
    assert_eq!(
        (shop.commit("sold").await, shop.commit("sold").await),
        (COMMITTED, COMMITTED)
    );
    assert_eq!(
        shop.release("sold").await,
        COMMITTED,
        "what is sold stays sold"
    );
    assert_eq!(shop.units(id).await, 7);
    assert!(shop.reserve("sold", &[(id, 3)]).await.unwrap().reserved);

    shop.reserve("back", &[(id, 2)]).await.unwrap();
    assert_eq!(shop.units(id).await, 5);
    assert_eq!(
        (shop.release("back").await, shop.release("back").await),
        (RELEASED, RELEASED)
    );
    assert_eq!(shop.units(id).await, 7, "its units went back once");
    assert_eq!(shop.commit("back").await, RELEASED);
    let again = shop.reserve("back", &[(id, 2)]).await.unwrap();
    assert!(!again.reserved && again.shortages.is_empty() && !again.error_message.is_empty());
    assert_eq!(shop.ledger(id).await.0, 7);
}

#[tokio::test]
async fn a_release_that_came_first_keeps_a_late_reserve_out() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 10).await;
    assert_eq!(shop.commit("k").await, UNKNOWN);
    assert_eq!(
        (shop.release("k").await, shop.release("k").await),
        (RELEASED, RELEASED)
    );
    assert!(!shop.reserve("k", &[(id, 1)]).await.unwrap().reserved);
    assert_eq!(
        (shop.units(id).await, shop.commit("k").await),
        (10, RELEASED)
    );
}

#[tokio::test]
async fn what_no_caller_should_send_is_an_invalid_argument() {
    let shop = Shop::empty().await;
    let id = shop.product("A", 10).await;
    let many: Vec<_> = (1..=101).map(|n| (n, 1)).collect();
    let long = "k".repeat(65);
    let cases: [(&str, &[(i32, i32)]); 7] = [
        ("", &[(id, 1)]),
        (&long, &[(id, 1)]),
        ("k", &[]),
        ("k", &[(id, 0)]),
        ("k", &[(id, -1)]),
        ("k", &[(id, 1), (id, 1)]),
        ("k", &many),
    ];
    for (key, lines) in cases {
        let error = shop.reserve(key, lines).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{key} {lines:?}");
        assert!(!error.message().is_empty());
    }
    for key in ["", &*long] {
        let request = || ReservationRequest {
            order_key: key.into(),
            requesting_service: "test".into(),
        };
        let (mut a, mut b) = (shop.grpc.clone(), shop.grpc.clone());
        assert_eq!(
            a.commit_reservation(request()).await.unwrap_err().code(),
            Code::InvalidArgument
        );
        assert_eq!(
            b.release_reservation(request()).await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
    assert_eq!(shop.units(id).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_100_buyers_of_ten_units_ten_are_sold_to() {
    let shop = Arc::new(Shop::empty().await);
    for round in 0..cases(20) {
        let id = shop.product("A", 10).await;
        let mut buyers = JoinSet::new();
        for buyer in 0..100 {
            let shop = Arc::clone(&shop);
            buyers.spawn(async move {
                let (key, lines) = (format!("{round}-{buyer}"), [(id, 1)]);
                taken(|| shop.reserve(&key, &lines)).await.reserved
            });
        }
        let sold = buyers
            .join_all()
            .await
            .into_iter()
            .filter(|reserved| *reserved)
            .count();
        assert_eq!(
            (sold, shop.units(id).await, shop.ledger(id).await.0),
            (10, 0, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_at_once_reserves_once_and_releases_once() {
    let shop = Arc::new(Shop::empty().await);
    let id = shop.product("A", 10).await;
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let shop = Arc::clone(&shop);
        calls.spawn(async move { shop.reserve("k", &[(id, 3)]).await.unwrap().reserved });
    }
    assert!(calls.join_all().await.into_iter().all(|reserved| reserved));
    assert_eq!(shop.units(id).await, 7);
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let shop = Arc::clone(&shop);
        calls.spawn(async move { shop.release("k").await });
    }
    assert!(
        calls
            .join_all()
            .await
            .into_iter()
            .all(|state| state == RELEASED)
    );
    assert_eq!((shop.units(id).await, shop.ledger(id).await.0), (10, 10));
}

/// `CASES`, where it is set, in place of a pull request's count.
fn cases(otherwise: usize) -> usize {
    std::env::var("CASES").map_or(otherwise, |n| n.parse().unwrap())
}

/// The answer to a call. All wait for the one connection that writes; on a machine that is busy with
/// something else one may wait too long and is told UNAVAILABLE. SQLITE_BUSY would be INTERNAL.
async fn taken<T, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> T {
    let answer = async {
        loop {
            match call().await {
                Err(status) if status.code() == Code::Unavailable => {}
                answer => return answer.unwrap(),
            }
        }
    };
    let within = std::time::Duration::from_secs(60);
    tokio::time::timeout(within, answer)
        .await
        .expect("an answer in a minute")
}

/// 64 clients, two writes a case each, which no database answers with SQLITE_BUSY: 400 cases are
/// 51 200 writes, 8 000 at night more than a million.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_writers_never_meet_a_busy_database() {
    let shop = Arc::new(Shop::empty().await);
    let id = shop.product("A", 1_000_000).await;
    let mut writers = JoinSet::new();
    for writer in 0..64 {
        let shop = Arc::clone(&shop);
        writers.spawn(async move {
            for n in 0..cases(400) {
                let key = format!("{writer}-{n}");
                let lines = [(id, 2)];
                assert!(taken(|| shop.reserve(&key, &lines)).await.reserved);
                let end = if n % 2 == 0 {
                    taken(|| shop.try_commit(&key)).await
                } else {
                    taken(|| shop.try_release(&key)).await
                };
                assert_eq!(end, if n % 2 == 0 { COMMITTED } else { RELEASED });
            }
            let body = json!({ "name": format!("P{writer}"), "price": 1 });
            assert_eq!(
                shop.call(As::Admin, Method::POST, "/api/products/", Some(body))
                    .await
                    .status,
                201
            );
            assert_eq!(shop.get(&format!("/api/products/{id}/")).await.status, 200);
        });
    }
    writers.join_all().await;
    let sold = 64 * 2 * i64::try_from(cases(400).div_ceil(2)).unwrap();
    assert_eq!(i64::from(shop.units(id).await), 1_000_000 - sold);
    assert_eq!(shop.ledger(id).await.0, 1_000_000 - sold);
}
