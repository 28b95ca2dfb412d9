//! The names that the shop gives to its parts, so that a slip in a scenario file
//! is found before anything runs.

/// The links that a fault can be put on.
pub const LINKS: [&str; 14] = [
    "load-gateway",
    "gateway-user",
    "gateway-product",
    "gateway-order",
    "order-user",
    "order-product",
    "order-payment",
    "order-keys",
    "product-keys",
    "product-cache",
    "user-database",
    "product-database",
    "payment-database",
    "order-database",
];

/// The slots that take a policy, with the policy a slot has in an arm that
/// doesn't name it. `fast` is what `default` means in a scenario.
pub const SLOTS: [(&str, &str); 13] = [
    ("order-user", "fast"),
    ("order-product", "fast"),
    ("order-payment", "fast"),
    ("order-database", "none"),
    ("gateway-user", "none"),
    ("gateway-product", "none"),
    ("gateway-order", "none"),
    ("user.server", "unlimited"),
    ("product.server", "unlimited"),
    ("payment.server", "unlimited"),
    ("order.server", "unlimited"),
    ("gateway.server", "unlimited"),
    (LOAD, "none"),
];

/// The slot of the load generator, which no part of the target has.
pub const LOAD: &str = "load";

/// Whether a slot is at a service's door and takes a server's policy.
#[must_use]
pub fn is_server(slot: &str) -> bool {
    slot.ends_with(".server")
}

/// The parts that can have replicas.
pub const PARTS: [&str; 5] = [
    "gateway",
    "user-service",
    "product-service",
    "payment-service",
    "order-service",
];

/// The parts that are processes and can be killed, paused and restarted.
pub const PROCESSES: [&str; 6] = [
    "gateway",
    "user-service",
    "product-service",
    "payment-service",
    "order-service",
    "toxiproxy",
];

/// The seeded defects of the services, by part (docs/INTEGRITY.md).
pub const DEFECTS: [(&str, &str); 10] = [
    ("lost_compensation", "order-service"),
    ("key_after_effect", "order-service"),
    ("outbox_after_commit", "order-service"),
    ("stale_price", "order-service"),
    ("status_edge_skipped", "order-service"),
    ("early_reply", "order-service"),
    ("double_release", "product-service"),
    ("expiry_race", "product-service"),
    ("commit_after_expiry", "product-service"),
    ("capture_twice", "payment-service"),
];

/// The most replicas of a part.
pub const MAX_REPLICAS: u32 = 9;

/// The services by their `service` label.
pub const SERVICES: [&str; 5] = ["gateway", "user", "product", "payment", "order"];

/// Who can be a caller: a service, or whoever calls the gateway.
pub const CALLERS: [&str; 6] = [LOAD, "gateway", "user", "product", "payment", "order"];

/// What a cache is asked for, as its faults name it. Of a database it is the name of an
/// operation, as in the metrics.
pub const OF_CACHES: [&str; 3] = ["get", "set", "del"];

/// The toxics of the fault proxy with their attributes.
pub const TOXICS: [(&str, &[&str]); 8] = [
    ("latency", &["latency", "jitter"]),
    ("bandwidth", &["rate"]),
    ("slow_close", &["delay"]),
    ("timeout", &["timeout"]),
    ("reset_peer", &["timeout"]),
    ("slicer", &["average_size", "size_variation", "delay"]),
    ("limit_data", &["bytes"]),
    ("noop", &[]),
];

/// gRPC's codes that can be a failure.
pub const GRPC_CODES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The gRPC methods of each service.
const METHODS: [(&str, &[&str]); 3] = [
    ("user", &["ValidateUser"]),
    (
        "product",
        &[
            "GetProductInfo",
            "CheckAvailability",
            "GetProducts",
            "ReserveStock",
            "CommitReservation",
            "ReleaseReservation",
            "ReturnReservation",
        ],
    ),
    ("payment", &["Authorize", "Capture", "Void", "GetStatus"]),
];

/// The REST routes of each service, as in its metrics.
pub const ROUTES: [(&str, &str); 39] = [
    ("order", "GET /api/orders/"),
    ("order", "POST /api/orders/"),
    ("order", "GET /api/orders/quote/"),
    ("order", "GET /api/orders/{id}/"),
    ("order", "GET /api/orders/user/{user_id}/"),
    ("order", "PATCH /api/orders/{id}/status/"),
    ("order", "POST /api/orders/{id}/cancel/"),
    ("product", "GET /api/products/"),
    ("product", "POST /api/products/"),
    ("product", "GET /api/products/{id}/"),
    ("product", "PUT /api/products/{id}/"),
    ("product", "PATCH /api/products/{id}/"),
    ("product", "DELETE /api/products/{id}/"),
    ("product", "POST /api/products/{id}/check_availability/"),
    ("user", "GET /.well-known/jwks.json"),
    ("user", "GET /api/auth/public-key/"),
    ("user", "POST /api/token/"),
    ("user", "POST /api/token/refresh/"),
    ("user", "POST /api/token/logout/"),
    ("user", "GET /api/users/"),
    ("user", "POST /api/users/"),
    ("user", "GET /api/users/public-key/"),
    ("user", "GET /api/users/auth/public-key/"),
    ("user", "POST /api/users/register/"),
    ("user", "GET /api/users/me/"),
    ("user", "PATCH /api/users/me/"),
    ("user", "POST /api/users/me/password/"),
    ("user", "GET /api/users/{id}/"),
    ("user", "PUT /api/users/{id}/"),
    ("user", "PATCH /api/users/{id}/"),
    ("user", "DELETE /api/users/{id}/"),
    ("user", "POST /api/users/2fa/verify-login/"),
    ("user", "POST /api/users/2fa/setup/"),
    ("user", "POST /api/users/2fa/verify-setup/"),
    ("user", "POST /api/users/2fa/disable/"),
    ("user", "POST /api/users/2fa/regenerate-backup-tokens/"),
    ("user", "POST /api/users/2fa/download-backup-tokens/"),
    ("user", "GET /api/users/2fa/status/"),
    ("user", "GET /api/users/audit/"),
];

/// The gRPC methods that can be called over a link.
pub fn methods(link: &str) -> impl Iterator<Item = &'static str> {
    let callee = callee(link).to_owned();
    let of = METHODS
        .iter()
        .filter(move |(service, _)| *service == callee);
    of.flat_map(|(_, methods)| methods.iter().copied())
}

/// A link without the number of a replica: `order-product` of `order-product.2`.
#[must_use]
pub fn base(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((base, number)) if number.parse::<u32>().is_ok() => base,
        _ => name,
    }
}

/// The number of a replica, from 1; `None` for all of them.
#[must_use]
pub fn replica(name: &str) -> Option<u32> {
    name.rsplit_once('.')?.1.parse().ok()
}

/// Who is called over a link: `product` of `order-product`.
#[must_use]
pub fn callee(link: &str) -> &str {
    let link = base(link);
    link.split_once('-').map_or(link, |(_, callee)| callee)
}

/// Whether requests on the link come from outside: no proxy stands in it, and no
/// policy.
#[must_use]
pub fn is_entry(link: &str) -> bool {
    base(link) == "load-gateway"
}

/// Whether the link leads to a cache or a database: a fault in it is carried out by
/// the client of the service in front.
#[must_use]
pub fn is_store(link: &str) -> bool {
    matches!(callee(link), "cache" | "database")
}

/// Whose fault layer carries out a fault per request on this link.
#[must_use]
pub fn fault_layer(link: &str) -> &str {
    let link = base(link);
    match link.split_once('-') {
        Some((owner, "cache" | "database" | "service")) => owner,
        Some((_, callee)) => callee,
        None => link,
    }
}

/// The links whose callers meet a fault on `place`: a link, every link into a service
/// (`*-product`), or a part.
#[must_use]
pub fn links_of(place: &str) -> Vec<&str> {
    let place = base(place);
    let into = |service: &str| {
        let leads = move |link: &&str| callee(link) == service;
        LINKS.iter().copied().filter(leads).collect()
    };
    match (place.strip_prefix("*-"), place.strip_suffix("-service")) {
        (Some(service), _) | (_, Some(service)) => into(service),
        _ => vec![place],
    }
}

/// Whether traffic of a request can be seen on this link: its caller reports
/// attempts. The key links are followed in the background.
#[must_use]
pub fn is_slot(link: &str) -> bool {
    !is_server(link) && SLOTS.iter().any(|(slot, _)| *slot == link)
}
