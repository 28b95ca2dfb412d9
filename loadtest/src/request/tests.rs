use super::*;
use std::collections::HashSet;
use std::time::Duration;

use crate::mix::Mix;
use crate::stream::Arrivals;
use crate::target::{Customer, customer_address};
use proptest::prelude::*;
use url::Url;

const PRODUCTS: [i64; 3] = [11, 12, 13];

fn requests(seed: u64) -> Requests {
    let customer = |n: i64| Customer {
        user_id: 100 + n,
        username: format!("customer{n}"),
        access: format!("token{n}"),
        address: customer_address(n as usize),
    };
    let target = LoadTarget {
        lab_token: Some("lab".to_owned()),
        customers: (0..5).map(customer).collect(),
        products: PRODUCTS.to_vec(),
        password: Some("password123".to_owned()),
        run: "r1".to_owned(),
        ..LoadTarget::new(Url::parse("http://127.0.0.1:8080/shop/").unwrap())
    };
    Requests::new(&target, &plan(seed)).unwrap()
}

fn plan(seed: u64) -> Plan {
    let streams = vec![
        Stream::open(Mix::only(Op::View), 1.0, Arrivals::Poisson),
        Stream::open(Mix::only(Op::View), 1.0, Arrivals::Poisson)
            .with_priority(resilience::Priority::Sheddable),
    ];
    let (warm_up, duration) = (Duration::ZERO, Duration::from_secs(1));
    Plan {
        streams,
        warm_up,
        duration,
        seed,
    }
}

fn arrival(index: u64, op: Op) -> Arrival {
    Arrival {
        index,
        stream: 0,
        at: Duration::ZERO,
        op,
        customer: None,
    }
}

/// Everything that goes over the wire.
fn wire(prepared: Prepared) -> String {
    let (head, body) = prepared.request.into_parts();
    let body = format!("{body:?}");
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.as_bytes()))
        .collect();
    format!(
        "{} {} {headers:?} {body} {}",
        head.method, head.uri, prepared.request_id
    )
}

proptest! {
    #[test]
    fn a_request_is_a_pure_function_of_seed_and_index(seed: u64, index: u64) {
        for op in Op::ALL {
            let once = wire(requests(seed).prepare(&arrival(index, op)).unwrap());
            prop_assert_eq!(&once, &wire(requests(seed).prepare(&arrival(index, op)).unwrap()));
            let choice = choose(seed, index, op, 5, &PRODUCTS);
            prop_assert_eq!(choice, choose(seed, index, op, 5, &PRODUCTS));
        }
    }

    #[test]
    fn baskets_are_orders_the_shop_must_take(seed: u64, index: u64, n in 1_usize..40) {
        let products: Vec<i64> = (1..=n as i64).collect();
        for op in [Op::Order, Op::Quote] {
            let (Action::Order(lines) | Action::Quote(lines)) =
                choose(seed, index, op, 1, &products).action
            else { panic!("no basket") };
            let ids: HashSet<i64> = lines.iter().map(|line| line.product_id).collect();
            prop_assert_eq!(ids.len(), lines.len());
            prop_assert!((1..=2).contains(&lines.len()));
            prop_assert!(lines.iter().all(|line| (1..=3).contains(&line.quantity)));
            prop_assert!(ids.iter().all(|id| products.contains(id)));
        }
    }
}

#[test]
fn ids_are_unique_in_a_run_and_differ_between_seeds() {
    let ids: HashSet<String> = (0..10_000).map(|index| request_id("r", 1, index)).collect();
    assert_eq!(ids.len(), 10_000);
    assert!((0..100).all(|index| !ids.contains(&request_id("r", 2, index))));
    assert!(request_id("", 1, 255).starts_with("000000ff-"));
    assert!(request_id("run", 1, 255).starts_with("run-000000ff-"));
}

#[test]
fn every_customer_product_and_quantity_has_its_turn() {
    let mut seen = HashSet::new();
    for index in 0..2_000 {
        let choice = choose(3, index, Op::Order, 5, &PRODUCTS);
        let Action::Order(lines) = choice.action else {
            panic!("an order")
        };
        seen.extend(
            lines
                .iter()
                .map(|l| (choice.customer.unwrap(), l.product_id, l.quantity)),
        );
    }
    assert_eq!(seen.len(), 5 * 3 * 3);
    assert_eq!(choose(3, 0, Op::Browse, 0, &[]).customer, None);
    assert_eq!(choose(3, 0, Op::Browse, 0, &[]).action, Action::Browse(1));
    let pages: HashSet<_> = (0..500)
        .map(|index| choose(3, index, Op::Browse, 0, &[1; 41]).action)
        .map(|action| {
            if let Action::Browse(page) = action {
                page
            } else {
                0
            }
        })
        .collect();
    assert_eq!(
        pages,
        HashSet::from([1, 2, 3]),
        "41 products fill three pages"
    );
}

#[test]
fn only_what_needs_an_account_carries_its_token() {
    for op in Op::ALL {
        let prepared = requests(1).prepare(&arrival(9, op)).unwrap();
        let headers = prepared.request.headers();
        let bearer = matches!(op, Op::Order | Op::History | Op::Quote);
        assert_eq!(headers.contains_key(AUTHORIZATION), bearer, "{op}");
        assert_eq!(headers[&LAB_TOKEN], "lab");
        let n = prepared.customer - 100;
        assert_eq!(
            headers[&FORWARDED_FOR],
            customer_address(n as usize).to_string()
        );
        assert_eq!(headers[&REQUEST_ID], prepared.request_id);
        assert!(prepared.request.uri().path().starts_with("/shop/api/"));
    }
    let bare = LoadTarget::new(Url::parse("http://127.0.0.1").unwrap());
    let requests = Requests::new(&bare, &plan(1)).unwrap();
    let prepared = requests.prepare(&arrival(0, Op::Browse)).unwrap();
    assert!(!prepared.request.headers().contains_key(&FORWARDED_FOR));
    assert_eq!(prepared.customer, 0);
}

#[test]
fn a_closed_streams_customer_is_always_the_same_one() {
    for (index, own, user) in [(5, 3, 103), (6, 3, 103), (7, 8, 103), (8, 0, 100)] {
        let arrival = Arrival {
            customer: Some(own),
            ..arrival(index, Op::Order)
        };
        let prepared = requests(1).prepare(&arrival).unwrap();
        assert_eq!(prepared.customer, user);
        let address = customer_address(user as usize - 100).to_string();
        assert_eq!(prepared.request.headers()[&FORWARDED_FOR], address);
    }
}

#[test]
fn a_streams_priority_travels() {
    let second = Arrival {
        stream: 1,
        ..arrival(0, Op::View)
    };
    let prepared = requests(1).prepare(&second).unwrap();
    assert_eq!(prepared.request.headers()[&PRIORITY], "sheddable");
    let first = requests(1).prepare(&arrival(0, Op::View)).unwrap();
    assert!(!first.request.headers().contains_key(&PRIORITY));
}

#[test]
fn a_token_that_cannot_travel_is_refused() {
    let base = Url::parse("http://127.0.0.1").unwrap();
    let target = LoadTarget {
        lab_token: Some("a\nb".to_owned()),
        ..LoadTarget::new(base)
    };
    assert!(Requests::new(&target, &plan(1)).is_err());
}
