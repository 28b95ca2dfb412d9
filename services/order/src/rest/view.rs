//! Orders as the wire shows them: `user_id` and `product_id` are strings.

use kit::{Cents, time::iso};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    checkout::{Quote, Quoted},
    domain::{Item, Order},
};

/// An order.
#[derive(Serialize, ToSchema)]
pub struct OrderView {
    /// Its number.
    id: i64,
    /// The owner's id.
    #[schema(example = "3")]
    user_id: String,
    /// Sum of all lines, two decimals.
    #[schema(value_type = String, example = "19.80")]
    total_amount: Cents,
    /// pending, confirmed, processing, shipped, delivered or cancelled.
    #[schema(example = "pending")]
    status: &'static str,
    /// Its lines.
    items: Vec<ItemView>,
    /// ISO 8601, UTC.
    #[schema(example = "2026-11-23T17:51:09.123Z")]
    created_at: String,
    /// ISO 8601, UTC.
    #[schema(example = "2026-11-23T17:51:09.123Z")]
    updated_at: String,
}

/// An order in a list.
#[derive(Serialize, ToSchema)]
pub struct ListedOrder {
    /// The order itself.
    #[serde(flatten)]
    order: OrderView,
    /// How many lines it has.
    item_count: usize,
}

/// A line of an order.
#[derive(Serialize, ToSchema)]
pub struct ItemView {
    /// The line's own id.
    id: i64,
    /// The product's id.
    #[schema(example = "1")]
    product_id: String,
    /// The product's name when it was bought.
    product_name: String,
    /// Units.
    quantity: i64,
    /// Price of one unit when it was bought, two decimals.
    #[schema(value_type = String, example = "9.90")]
    price_at_purchase: Cents,
    /// Price × quantity, two decimals.
    #[schema(value_type = String, example = "19.80")]
    subtotal: Cents,
}

/// What lines would cost now.
#[derive(Serialize, ToSchema)]
pub struct QuoteView {
    /// The lines, those of one product merged.
    items: Vec<QuotedView>,
    /// Their sum, two decimals.
    #[schema(value_type = String, example = "19.80")]
    total_amount: Cents,
}

/// A line of a quote.
#[derive(Serialize, ToSchema)]
pub struct QuotedView {
    /// The product's id.
    #[schema(example = "1")]
    product_id: String,
    /// Units.
    quantity: i64,
    /// Price of one unit now, two decimals.
    #[schema(value_type = String, example = "9.90")]
    price: Cents,
    /// Whether that many can be sold now.
    available: bool,
    /// Price × quantity, two decimals.
    #[schema(value_type = String, example = "19.80")]
    subtotal: Cents,
}

/// An order's JSON: the answer that its client gets, and gets again for the same key.
pub fn body_of(order: &Order) -> String {
    // Numbers and texts alone: nothing in it can fail.
    serde_json::to_string(&OrderView::from(order.clone())).unwrap_or_default()
}

impl From<Order> for OrderView {
    fn from(order: Order) -> Self {
        Self {
            id: order.id,
            user_id: order.user_id.to_string(),
            total_amount: order.total,
            status: order.status.as_str(),
            items: order.items.into_iter().map(ItemView::from).collect(),
            created_at: iso(order.created_ms),
            updated_at: iso(order.updated_ms),
        }
    }
}

impl From<Order> for ListedOrder {
    fn from(order: Order) -> Self {
        Self {
            item_count: order.items.len(),
            order: order.into(),
        }
    }
}

impl From<Item> for ItemView {
    fn from(item: Item) -> Self {
        Self {
            id: item.id,
            product_id: item.product_id.to_string(),
            subtotal: item.subtotal(),
            product_name: item.product_name,
            quantity: item.quantity,
            price_at_purchase: item.price,
        }
    }
}

impl From<Quoted> for QuotedView {
    fn from(line: Quoted) -> Self {
        Self {
            product_id: line.item.product_id.to_string(),
            quantity: line.item.quantity,
            price: line.item.price,
            available: line.available,
            subtotal: line.item.subtotal(),
        }
    }
}

impl From<Quote> for QuoteView {
    fn from(quote: Quote) -> Self {
        Self {
            items: quote.lines.into_iter().map(QuotedView::from).collect(),
            total_amount: quote.total,
        }
    }
}
