//! Every example runs, and what it asserts holds.
#![allow(dead_code, reason = "an example's main is called from here")]

#[path = "../../examples/other_order.rs"]
mod other_order;
#[path = "../../examples/overload.rs"]
mod overload;
#[path = "../../examples/parts_alone.rs"]
mod parts_alone;
#[path = "../../examples/shop_call.rs"]
mod shop_call;

#[test]
fn shop_call_runs() {
    shop_call::main();
}

#[test]
fn other_order_runs() {
    other_order::main();
}

#[test]
fn overload_runs() {
    overload::main();
}

#[test]
fn parts_alone_runs() {
    parts_alone::main();
}

/// A new example must be added here.
#[test]
fn none_is_left_out() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let files = std::fs::read_dir(folder).expect("the examples");
    assert_eq!(files.count(), 4);
}
