//! Pages: `{count, next, previous, results}` with absolute links.

use std::collections::HashMap;

use ::http::request::Parts;
use axum::extract::{FromRequestParts, Query};
use serde::Serialize;
use url::form_urlencoded;

use crate::{ApiError, ApiResult, Ctx};

/// Results a page unless asked otherwise.
pub const DEFAULT_SIZE: i64 = 20;
/// The largest page.
pub const MAX_SIZE: i64 = 100;

/// One page of results.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// How many there are in all.
    pub count: i64,
    /// Link to the next page.
    pub next: Option<String>,
    /// Link to the previous page.
    pub previous: Option<String>,
    /// This page's.
    pub results: Vec<T>,
}

/// Which page is asked for, and how links to its neighbours look.
#[derive(Clone, Debug)]
pub struct PageQuery {
    number: Number,
    size: i64,
    base: String,
    others: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    At(i64),
    Last,
}

/// The rows a page covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows to skip.
    pub offset: i64,
    /// Rows to take.
    pub limit: i64,
    number: i64,
}

impl PageQuery {
    /// The rows of this page among `count`.
    ///
    /// # Errors
    /// 404 when the page is out of range; the first page always exists.
    pub fn window(&self, count: i64) -> ApiResult<Window> {
        let last = last_page(count, self.size);
        let number = match self.number {
            Number::Last => last,
            Number::At(n) if (1..=last).contains(&n) => n,
            Number::At(_) => return Err(invalid_page()),
        };
        Ok(Window {
            offset: (number - 1) * self.size,
            limit: self.size,
            number,
        })
    }

    /// The page with its links.
    pub fn render<T>(&self, count: i64, window: Window, results: Vec<T>) -> Page<T> {
        let last = last_page(count, self.size);
        Page {
            count,
            next: (window.number < last).then(|| self.link(window.number + 1)),
            previous: (window.number > 1).then(|| self.link(window.number - 1)),
            results,
        }
    }

    /// How many results a page holds.
    pub fn size(&self) -> i64 {
        self.size
    }

    fn link(&self, number: i64) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in &self.others {
            query.append_pair(key, value);
        }
        query.append_pair("page", &number.to_string());
        format!("{}?{}", self.base, query.finish())
    }
}

fn last_page(count: i64, size: i64) -> i64 {
    (count.max(0) + size - 1).max(size) / size
}

fn invalid_page() -> ApiError {
    ApiError::new(::http::StatusCode::NOT_FOUND, "not_found", "Invalid page.")
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Ok(ctx) = Ctx::from_request_parts(parts, state).await;
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes())
                .into_owned()
                .collect();
        let asked: HashMap<&str, &str> = pairs
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        let number = match asked.get("page").copied() {
            None | Some("") => Number::At(1),
            Some("last") => Number::Last,
            Some(text) => Number::At(text.parse().map_err(|_| invalid_page())?),
        };
        let size = asked
            .get("page_size")
            .and_then(|text| text.parse().ok())
            .filter(|n| *n >= 1);
        Ok(Self {
            number,
            size: size.unwrap_or(DEFAULT_SIZE).min(MAX_SIZE),
            base: format!("{}{}", ctx.origin, parts.uri.path()),
            others: pairs.into_iter().filter(|(key, _)| key != "page").collect(),
        })
    }
}

/// Query parameters as the contract reads them: unknown ones are ignored.
///
/// # Errors
/// 400 when the query can't be decoded.
pub fn query_map(parts: &Parts) -> ApiResult<HashMap<String, String>> {
    Query::<HashMap<String, String>>::try_from_uri(&parts.uri)
        .map(|Query(map)| map)
        .map_err(|error| ApiError::bad_request("invalid", error.to_string()))
}

/// All query parameters, the last of each name.
#[derive(Clone, Debug, Default)]
pub struct Params(pub HashMap<String, String>);

impl Params {
    /// A parameter that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        query_map(parts).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn query(uri: &str) -> ApiResult<PageQuery> {
        let mut ctx = Ctx::internal("x");
        ctx.origin = "http://shop.test:8080".into();
        let request = axum::extract::Request::builder()
            .uri(uri)
            .extension(ctx)
            .body(())
            .unwrap();
        let (mut parts, ()) = request.into_parts();
        PageQuery::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn links_keep_host_port_and_other_parameters() {
        let page = query("/api/products/?search=a%20b&page=2&page_size=10")
            .await
            .unwrap();
        let window = page.window(25).unwrap();
        assert_eq!((window.offset, window.limit), (10, 10));
        let page = page.render(25, window, vec![0]);
        assert_eq!(
            page.next.as_deref(),
            Some("http://shop.test:8080/api/products/?search=a+b&page_size=10&page=3")
        );
        assert!(page.previous.unwrap().ends_with("page=1"));
    }

    #[tokio::test]
    async fn last_and_out_of_range() {
        let page = query("/x/?page=last").await.unwrap();
        assert_eq!(page.window(41).unwrap().offset, 40);
        assert_eq!(page.window(0).unwrap().offset, 0);
        let page = query("/x/?page=3").await.unwrap();
        assert_eq!(page.window(40).unwrap_err().status(), 404);
        assert_eq!(
            query("/x/?page=-1")
                .await
                .unwrap()
                .window(9)
                .unwrap_err()
                .status(),
            404
        );
        assert_eq!(query("/x/?page=zz").await.unwrap_err().status(), 404);
        assert_eq!(query("/x/?page_size=1000").await.unwrap().size(), 100);
    }
}
