//! The one table of routes, for the embedded gateway and for nginx.

/// A service behind the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Upstream {
    /// Accounts and tokens.
    User,
    /// The catalogue.
    Product,
    /// Orders.
    Order,
}

impl Upstream {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::User, Self::Product, Self::Order];

    /// The service's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Product => "product",
            Self::Order => "order",
        }
    }

    /// The link towards it, which is also its slot's name.
    pub fn link(self) -> &'static str {
        match self {
            Self::User => "gateway-user",
            Self::Product => "gateway-product",
            Self::Order => "gateway-order",
        }
    }
}

/// Everything below a prefix goes to one service, its path unchanged.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// What paths begin with; no trailing slash.
    pub prefix: &'static str,
    /// Who answers.
    pub upstream: Upstream,
}

/// Where what goes.
pub const ROUTES: [Route; 9] = [
    Route {
        prefix: "/api/users",
        upstream: Upstream::User,
    },
    Route {
        prefix: "/api/token",
        upstream: Upstream::User,
    },
    Route {
        prefix: "/api/auth",
        upstream: Upstream::User,
    },
    Route {
        prefix: "/.well-known/jwks.json",
        upstream: Upstream::User,
    },
    Route {
        prefix: "/api/products",
        upstream: Upstream::Product,
    },
    Route {
        prefix: "/api/orders",
        upstream: Upstream::Order,
    },
    Route {
        prefix: "/docs/user",
        upstream: Upstream::User,
    },
    Route {
        prefix: "/docs/product",
        upstream: Upstream::Product,
    },
    Route {
        prefix: "/docs/order",
        upstream: Upstream::Order,
    },
];

/// The route of a path; a prefix matches whole segments.
pub fn find(path: &str) -> Option<Route> {
    ROUTES.into_iter().find(|route| {
        path.strip_prefix(route.prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_match_whole_segments() {
        assert_eq!(find("/api/orders/7/").unwrap().upstream, Upstream::Order);
        assert_eq!(find("/api/orders").unwrap().upstream, Upstream::Order);
        assert_eq!(
            find("/api/token/refresh/").unwrap().upstream,
            Upstream::User
        );
        assert!(find("/api/ordersx/").is_none());
        assert!(find("/api/").is_none());
        assert!(find("/lab/policies").is_none());
    }
}
