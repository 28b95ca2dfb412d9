//! The catalogue's rows.

use std::collections::HashMap;

use kit::{Cents, db::Db};
use sqlx::{Any, AssertSqlSafe, Row, Transaction, any::AnyRow};

use super::{StoreError, Units, stock};
use crate::domain::{Changes, NewProduct, Product};
use crate::seed::Sample;

/// What [`from_row`] reads.
pub(super) const COLUMNS: &str = "p.id, p.name, p.description, p.price_cents, p.available, p.category, \
     p.image, p.rating, p.review_count, p.created_ms, p.updated_ms";

pub(super) fn from_row(row: &AnyRow) -> Result<Product, sqlx::Error> {
    let review_count: i64 = row.try_get("review_count")?;
    let rating: f64 = row.try_get("rating")?;
    Ok(Product {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        price: Cents(row.try_get("price_cents")?),
        available: row.try_get("available")?,
        category: row.try_get("category")?,
        image: row.try_get("image")?,
        rating: (review_count > 0).then_some(rating),
        review_count,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
    })
}

pub(super) async fn find<'e, E>(executor: E, id: i64) -> Result<Option<Product>, StoreError>
where
    E: sqlx::Executor<'e, Database = Any>,
{
    let sql = format!("SELECT {COLUMNS} FROM products p WHERE p.id = $1 AND p.deleted = 0");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(executor)
        .await?;
    Ok(row.as_ref().map(from_row).transpose()?)
}

pub(super) async fn find_many(db: &Db, ids: &[i64]) -> Result<HashMap<i64, Product>, StoreError> {
    let Some(&last) = ids.last() else {
        return Ok(HashMap::new());
    };
    // Padded to a power of two, so that a handful of prepared statements serves
    // every number of ids.
    let padded = ids.len().next_power_of_two();
    let places: Vec<String> = (1..=padded).map(|n| format!("${n}")).collect();
    let sql = format!(
        "SELECT {COLUMNS} FROM products p WHERE p.deleted = 0 AND p.id IN ({})",
        places.join(", ")
    );
    let ids = ids
        .iter()
        .copied()
        .chain(std::iter::repeat(last))
        .take(padded);
    let query = ids.fold(sqlx::query(AssertSqlSafe(sql)), sqlx::query::Query::bind);
    let rows = query.fetch_all(&db.read).await?;
    let products = rows
        .iter()
        .map(|row| from_row(row).map(|product| (product.id, product)));
    Ok(products.collect::<Result<_, _>>()?)
}

pub(super) async fn create(
    tx: &mut Transaction<'static, Any>,
    product: NewProduct,
    reason: &str,
    at: i64,
) -> Result<Product, StoreError> {
    let row = sqlx::query(
        "INSERT INTO products (name, name_sort, description, price_cents, available, category, created_ms, updated_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7) RETURNING id",
    )
    .bind(product.name.clone())
    .bind(product.name.to_lowercase())
    .bind(product.description.clone())
    .bind(product.price.0)
    .bind(product.units)
    .bind(product.category.clone())
    .bind(at)
    .fetch_one(&mut **tx)
    .await?;
    let id = row.try_get("id")?;
    stock::book(tx, id, product.units, reason, at).await?;
    Ok(Product {
        id,
        name: product.name,
        description: product.description,
        price: product.price,
        available: product.units,
        category: product.category,
        image: None,
        rating: None,
        review_count: 0,
        created_ms: at,
        updated_ms: at,
    })
}

pub(super) async fn change(
    tx: &mut Transaction<'static, Any>,
    id: i64,
    changes: Changes,
    at: i64,
) -> Result<Option<Product>, StoreError> {
    // This update takes the row's lock, so that what it reads of the stock still
    // holds when the restock is booked.
    let row = sqlx::query(
        "UPDATE products SET name = COALESCE($2, name), name_sort = COALESCE($3, name_sort), \
         description = COALESCE($4, description), price_cents = COALESCE($5, price_cents), \
         category = CASE WHEN $6 = 1 THEN $7 ELSE category END, updated_ms = $8 \
         WHERE id = $1 AND deleted = 0 RETURNING available",
    )
    .bind(id)
    .bind(changes.name.clone())
    .bind(changes.name.map(|name| name.to_lowercase()))
    .bind(changes.description)
    .bind(changes.price.map(|price| price.0))
    .bind(i64::from(changes.category.is_some()))
    .bind(changes.category.flatten())
    .bind(at)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if let Some(units) = changes.units {
        stock::restock(tx, id, row.try_get("available")?, units, at).await?;
    }
    find(&mut **tx, id).await
}

pub(super) async fn delete(
    tx: &mut Transaction<'static, Any>,
    id: i64,
    at: i64,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE products SET deleted = 1, updated_ms = $2 WHERE id = $1 AND deleted = 0",
    )
    .bind(id)
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes a sample unless its id is taken; whether it did.
pub(super) async fn seed(
    tx: &mut Transaction<'static, Any>,
    sample: &Sample,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO products (id, name, name_sort, description, price_cents, available, category, created_ms, updated_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (id) DO NOTHING",
    )
    .bind(sample.id)
    .bind(sample.name)
    .bind(sample.name.to_lowercase())
    .bind(sample.description)
    .bind(sample.price.0)
    .bind(sample.units)
    .bind(sample.category)
    .bind(sample.created_ms)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    stock::book(
        tx,
        sample.id,
        sample.units,
        stock::INITIAL,
        sample.created_ms,
    )
    .await?;
    Ok(true)
}

pub(super) async fn units(db: &Db, up_to_id: i64) -> Result<Vec<Units>, StoreError> {
    let rows = sqlx::query("SELECT id, available FROM products WHERE deleted = 0 AND id <= $1")
        .bind(up_to_id)
        .fetch_all(&db.read)
        .await?;
    let mut units = rows
        .iter()
        .map(|row| {
            Ok(Units {
                product_id: Some(row.try_get("id")?),
                available: row.try_get("available")?,
            })
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    // PostgreSQL's SUM of BIGINT is a NUMERIC, which the common driver can't read.
    let rest = sqlx::query(
        "SELECT CAST(COALESCE(SUM(available), 0) AS BIGINT) AS available FROM products WHERE deleted = 0 AND id > $1",
    )
    .bind(up_to_id)
    .fetch_one(&db.read)
    .await?;
    units.push(Units {
        product_id: None,
        available: rest.try_get("available")?,
    });
    Ok(units)
}
