//! The customers of a run, ready for the wire, and replaceable while it goes on: access tokens live
//! for minutes, a load may last for hours.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use http::HeaderValue;

use crate::error::LoadError;
use crate::target::Customer;

/// The headers that make a customer. Of a JWT that is most of a kilobyte, and kept once.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) user_id: i64,
    pub(crate) username: Box<str>,
    pub(crate) authorization: HeaderValue,
    pub(crate) address: HeaderValue,
}

/// All of them, with the password that they share.
#[derive(Default)]
pub(crate) struct People {
    pub(crate) visitors: Vec<Visitor>,
    pub(crate) password: Option<String>,
}

/// The customers that requests are made for now.
#[derive(Default)]
pub(crate) struct Population(ArcSwap<People>);

impl Population {
    /// These customers.
    ///
    /// # Errors
    /// [`LoadError::Invalid`] if a token can't travel in a header.
    pub(crate) fn new(customers: &[Customer], password: Option<&str>) -> Result<Self, LoadError> {
        let people = People::new(customers, password)?;
        Ok(Self(ArcSwap::from_pointee(people)))
    }

    pub(crate) fn now(&self) -> Guard<Arc<People>> {
        self.0.load()
    }

    /// Puts others in their places; requests under way keep theirs.
    pub(crate) fn replace(&self, people: People) {
        self.0.store(Arc::new(people));
    }
}

impl People {
    pub(crate) fn new(customers: &[Customer], password: Option<&str>) -> Result<Self, LoadError> {
        let visitor = |(i, customer): (usize, &Customer)| {
            let field = format!("customers[{i}].access");
            Ok(Visitor {
                user_id: customer.user_id,
                username: customer.username.as_str().into(),
                authorization: secret(&format!("Bearer {}", customer.access), &field)?,
                address: HeaderValue::try_from(customer.address.to_string())
                    .map_err(|e| LoadError::invalid("address", e.to_string()))?,
            })
        };
        let visitors = customers.iter().enumerate().map(visitor);
        Ok(Self {
            visitors: visitors.collect::<Result<_, LoadError>>()?,
            password: password.map(str::to_owned),
        })
    }
}

impl std::fmt::Debug for Population {
    /// Their number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Population")
            .field(&self.now().visitors.len())
            .finish()
    }
}

pub(crate) fn secret(text: &str, field: &str) -> Result<HeaderValue, LoadError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| LoadError::invalid(field, "holds what can't travel in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}
