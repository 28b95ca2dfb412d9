//! [`Store`] on SQL: one line a method, each timed under its name.

use std::collections::HashMap;

use async_trait::async_trait;
use kit::db::Db;

use super::{
    Audit, Books, Lab, Released, Store, StoreError, Units, books, ends, list, products, search,
    stock,
};
use crate::domain::{Changes, Demand, NewProduct, Product, Query, Reserved, State};
use crate::seed::Sample;

/// The store on a database that [`super::migrate`] has brought up to date.
#[derive(Clone)]
pub struct SqlStore {
    db: Db,
    index: &'static dyn search::TextIndex,
    lab: Lab,
}

impl SqlStore {
    /// Over that database.
    ///
    /// # Errors
    /// [`StoreError::NoSearch`] when its kind has no text index.
    pub fn new(db: Db) -> Result<Self, StoreError> {
        let index = search::index_of(db.backend)?;
        let lab = Lab::default();
        Ok(Self { db, index, lab })
    }

    /// The same, where the lab can get at it.
    #[must_use]
    pub fn in_lab(self, lab: Lab) -> Self {
        Self { lab, ..self }
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn count(&self, query: &Query) -> Result<i64, StoreError> {
        self.db
            .timed("count_products", list::count(&self.db, self.index, query))
            .await
    }

    async fn list(
        &self,
        query: &Query,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<Product>, StoreError> {
        self.db
            .timed(
                "list_products",
                list::page(&self.db, self.index, query, offset, limit),
            )
            .await
    }

    async fn find(&self, id: i64) -> Result<Option<Product>, StoreError> {
        self.db
            .timed("find_product", products::find(&self.db.read, id))
            .await
    }

    async fn find_many(&self, ids: &[i64]) -> Result<HashMap<i64, Product>, StoreError> {
        self.db
            .timed("find_products", products::find_many(&self.db, ids))
            .await
    }

    async fn create(&self, product: NewProduct, at: i64) -> Result<Product, StoreError> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let product = products::create(&mut tx, product, stock::INITIAL, at).await?;
            tx.commit().await?;
            Ok(product)
        };
        self.db.timed("create_product", work).await
    }

    async fn create_restocked(
        &self,
        products: Vec<NewProduct>,
        at: i64,
    ) -> Result<Vec<Product>, StoreError> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let mut made = Vec::with_capacity(products.len());
            for product in products {
                made.push(products::create(&mut tx, product, stock::RESTOCK, at).await?);
            }
            tx.commit().await?;
            Ok(made)
        };
        self.db.timed("create_fixtures", work).await
    }

    async fn change(
        &self,
        id: i64,
        changes: Changes,
        at: i64,
    ) -> Result<Option<Product>, StoreError> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let product = products::change(&mut tx, id, changes, at).await?;
            tx.commit().await?;
            Ok(product)
        };
        self.db.timed("change_product", work).await
    }

    async fn delete(&self, id: i64, at: i64) -> Result<bool, StoreError> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let deleted = products::delete(&mut tx, id, at).await?;
            tx.commit().await?;
            Ok(deleted)
        };
        self.db.timed("delete_product", work).await
    }

    async fn seed(&self, samples: &[Sample]) -> Result<usize, StoreError> {
        let work = async {
            let mut tx = self.db.begin().await?;
            let mut made = 0;
            for sample in samples {
                made += usize::from(products::seed(&mut tx, sample).await?);
            }
            tx.commit().await?;
            Ok(made)
        };
        self.db.timed("seed_products", work).await
    }

    async fn reserve(&self, demand: &Demand, at: i64) -> Result<Reserved, StoreError> {
        let work = async {
            stock::reserve(
                self.db.begin().await?,
                self.db.backend,
                demand,
                at,
                &self.lab,
            )
            .await
        };
        self.db.timed("reserve_stock", work).await
    }

    async fn commit(&self, order_key: &str, at: i64) -> Result<Option<State>, StoreError> {
        let Self { db, lab, .. } = self;
        let work = async {
            if lab.defects.on("expiry_race") && ends::commit_unguarded(db, order_key, at).await? {
                return Ok(Some(State::Committed));
            }
            ends::commit(db.begin().await?, db.backend, order_key, at, lab).await
        };
        db.timed("commit_reservation", work).await
    }

    async fn release(&self, order_key: &str, at: i64) -> Result<Released, StoreError> {
        let Self { db, lab, .. } = self;
        let work = async { ends::release(db.begin().await?, db.backend, order_key, at, lab).await };
        db.timed("release_reservation", work).await
    }

    async fn give_up(&self, order_key: &str, at: i64) -> Result<Released, StoreError> {
        let Self { db, lab, .. } = self;
        let work = async { ends::give_up(db.begin().await?, db.backend, order_key, at, lab).await };
        db.timed("return_reservation", work).await
    }

    async fn expire_due(&self, limit: i64, at: i64) -> Result<Vec<i64>, StoreError> {
        let Self { db, lab, .. } = self;
        let work = async {
            let mut returned = Vec::new();
            for key in ends::due(db, limit).await? {
                let tx = db.begin().await?;
                returned.extend(ends::expire(tx, db.backend, &key, at, lab).await?);
            }
            Ok(returned)
        };
        db.timed("expire_reservations", work).await
    }

    async fn mismatch(&self, audit: &mut Audit) -> Result<i64, StoreError> {
        self.db.timed("audit_stock", audit.mismatch(&self.db)).await
    }

    async fn books(&self, reservations: bool) -> Result<Books, StoreError> {
        books::read(&self.db, reservations).await
    }

    async fn units(&self, up_to_id: i64) -> Result<Vec<Units>, StoreError> {
        self.db
            .timed("count_units", products::units(&self.db, up_to_id))
            .await
    }
}
