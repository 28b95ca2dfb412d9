//! The list's SQL, put together from its query.

use kit::db::Db;
use sqlx::{
    Any, AssertSqlSafe, Row,
    any::{AnyArguments, AnyRow},
};

use super::{StoreError, products, search::TextIndex};
use crate::domain::{Ordering, Product, Query, SortKey};

/// A statement made of our own literals and numbered parameters; what a client
/// sent is only ever a value.
#[derive(Debug, Default)]
pub(super) struct Statement {
    text: String,
    values: Vec<Value>,
}

#[derive(Debug)]
enum Value {
    Int(i64),
    Text(String),
}

impl Statement {
    fn parameter(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn and(&mut self, condition: &str) {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
    }

    fn prepare(self) -> sqlx::query::Query<'static, Any, AnyArguments> {
        let query = sqlx::query(AssertSqlSafe(self.text));
        self.values
            .into_iter()
            .fold(query, |query, value| match value {
                Value::Int(n) => query.bind(n),
                Value::Text(s) => query.bind(s),
            })
    }
}

/// `SELECT <columns> FROM products … WHERE …`
fn select(columns: &str, query: &Query, index: &dyn TextIndex) -> Statement {
    let mut sql = Statement {
        text: format!("SELECT {columns} FROM products p"),
        values: Vec::new(),
    };
    if !query.words.is_empty() {
        sql.text.push_str(index.join());
    }
    // A literal, since only that lets the partial indexes be used.
    sql.text.push_str(" WHERE p.deleted = 0");
    if !query.words.is_empty() {
        let pattern = sql.parameter(Value::Text(index.pattern(&query.words)));
        sql.and(&index.condition(&pattern));
    }
    if let Some(category) = &query.category {
        let category = sql.parameter(Value::Text(category.clone()));
        sql.and(&format!("p.category = {category}"));
    }
    for (bound, operator) in [(query.min_price, ">="), (query.max_price, "<=")] {
        if let Some(price) = bound {
            let price = sql.parameter(Value::Int(price.0));
            sql.and(&format!("p.price_cents {operator} {price}"));
        }
    }
    if let Some(in_stock) = query.in_stock {
        sql.and(if in_stock {
            "p.available > 0"
        } else {
            "p.available = 0"
        });
    }
    sql
}

fn order_by(query: &Query, index: &dyn TextIndex) -> String {
    if query.ordering.is_none() && !query.words.is_empty() {
        return format!(
            " ORDER BY {}, p.created_ms DESC, p.id DESC",
            index.best_first()
        );
    }
    let Ordering { key, descending } = query.ordering.unwrap_or(Ordering::NEWEST);
    let column = match key {
        SortKey::Name => "name_sort",
        SortKey::Price => "price_cents",
        SortKey::CreatedAt => "created_ms",
        SortKey::Rating => "rating",
    };
    let direction = if descending { "DESC" } else { "ASC" };
    format!(" ORDER BY p.{column} {direction}, p.id {direction}")
}

pub(super) fn page_statement(
    query: &Query,
    index: &dyn TextIndex,
    offset: i64,
    limit: i64,
) -> Statement {
    let mut sql = select(products::COLUMNS, query, index);
    sql.text.push_str(&order_by(query, index));
    let (limit, offset) = (
        sql.parameter(Value::Int(limit)),
        sql.parameter(Value::Int(offset)),
    );
    sql.text
        .push_str(&format!(" LIMIT {limit} OFFSET {offset}"));
    sql
}

pub(super) async fn count(
    db: &Db,
    index: &dyn TextIndex,
    query: &Query,
) -> Result<i64, StoreError> {
    let row = select("COUNT(*)", query, index)
        .prepare()
        .fetch_one(&db.read)
        .await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn page(
    db: &Db,
    index: &dyn TextIndex,
    query: &Query,
    offset: i64,
    limit: i64,
) -> Result<Vec<Product>, StoreError> {
    let rows: Vec<AnyRow> = page_statement(query, index, offset, limit)
        .prepare()
        .fetch_all(&db.read)
        .await?;
    Ok(rows
        .iter()
        .map(products::from_row)
        .collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use kit::Cents;

    use super::*;
    use crate::store::{migrate, search::index_of};

    async fn plan(db: &Db, query: &Query) -> String {
        let mut sql = page_statement(query, index_of(db.backend).unwrap(), 0, 20);
        sql.text.insert_str(0, "EXPLAIN QUERY PLAN ");
        let rows = sql.prepare().fetch_all(&db.read).await.unwrap();
        let lines: Vec<String> = rows
            .iter()
            .map(|row| row.get::<String, _>("detail"))
            .collect();
        lines.join("\n")
    }

    #[tokio::test]
    async fn every_order_of_the_list_is_read_from_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("plan.db").display());
        let db = Db::open("product", &url).await.unwrap();
        migrate(&db).await.unwrap();
        let cases = [
            ("created_at", "products_by_age"),
            ("name", "products_by_name"),
            ("price", "products_by_price"),
            ("rating", "products_by_rating"),
        ];
        for (name, index) in cases {
            for sign in ["", "-"] {
                let ordering = Ordering::parse(&format!("{sign}{name}"));
                let plan = plan(
                    &db,
                    &Query {
                        ordering,
                        ..Query::default()
                    },
                )
                .await;
                assert!(
                    plan.contains(&format!("USING INDEX {index}")),
                    "{sign}{name}: {plan}"
                );
                assert!(!plan.contains("TEMP B-TREE"), "{sign}{name} sorts: {plan}");
            }
        }
        let newest = plan(&db, &Query::default()).await;
        assert!(newest.contains("USING INDEX products_by_age"), "{newest}");
        let of_category = plan(
            &db,
            &Query {
                category: Some("laptops".into()),
                ..Query::default()
            },
        )
        .await;
        assert!(
            of_category.contains("USING INDEX products_by_category"),
            "{of_category}"
        );
        assert!(!of_category.contains("TEMP B-TREE"), "{of_category}");
    }

    #[tokio::test]
    async fn a_search_is_read_from_the_text_index() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("plan.db").display());
        let db = Db::open("product", &url).await.unwrap();
        migrate(&db).await.unwrap();
        let query = Query {
            words: vec!["x".into()],
            min_price: Some(Cents(5)),
            ..Query::default()
        };
        let plan = plan(&db, &query).await;
        assert!(plan.contains("products_fts VIRTUAL TABLE INDEX"), "{plan}");
        assert!(
            plan.contains("SEARCH p USING INTEGER PRIMARY KEY"),
            "{plan}"
        );
    }
}
