//! Products as the wire shows them.

use kit::{Cents, time::iso};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Product;

/// A product in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListItem {
    id: i64,
    name: String,
    description: String,
    /// Two decimals.
    #[schema(value_type = String, example = "899.99")]
    price: Cents,
    /// What can be sold now; reserved units are not in it.
    inventory_count: i64,
    /// Whether anything can be sold now.
    is_available: bool,
    category: Option<String>,
    /// Mean of the reviews; null without any.
    rating: Option<f64>,
    review_count: i64,
    image: Option<String>,
}

/// One product.
#[derive(Debug, Serialize, ToSchema)]
pub struct Detail {
    #[serde(flatten)]
    item: ListItem,
    /// ISO 8601, UTC.
    created_at: String,
    /// ISO 8601, UTC.
    updated_at: String,
}

impl From<Product> for ListItem {
    fn from(product: Product) -> Self {
        Self {
            id: product.id,
            name: product.name,
            description: product.description,
            price: product.price,
            inventory_count: product.available,
            is_available: product.available > 0,
            category: product.category,
            rating: product.rating,
            review_count: product.review_count,
            image: product.image,
        }
    }
}

impl From<Product> for Detail {
    fn from(product: Product) -> Self {
        let (created_at, updated_at) = (iso(product.created_ms), iso(product.updated_ms));
        Self {
            item: product.into(),
            created_at,
            updated_at,
        }
    }
}
