//! The names that the shop gives to its parts, so that a slip in a scenario file
//! is found before anything runs.

/// The links that a fault proxy stands in.
pub const LINKS: [&str; 7] = [
    "gateway-user",
    "gateway-product",
    "gateway-order",
    "order-user",
    "order-product",
    "order-keys",
    "product-keys",
];

/// The slots that take a policy, with the policy a slot has in an arm that
/// doesn't name it. `fast` is what `default` means in a scenario.
pub const SLOTS: [(&str, &str); 9] = [
    ("order-user", "fast"),
    ("order-product", "fast"),
    ("gateway-user", "none"),
    ("gateway-product", "none"),
    ("gateway-order", "none"),
    ("user.server", "unlimited"),
    ("product.server", "unlimited"),
    ("order.server", "unlimited"),
    ("gateway.server", "unlimited"),
];

/// Whether a slot is at a service's door and takes a server's policy.
#[must_use]
pub fn is_server(slot: &str) -> bool {
    slot.ends_with(".server")
}

/// The parts that can have replicas.
pub const PARTS: [&str; 4] = [
    "gateway",
    "user-service",
    "product-service",
    "order-service",
];

/// The toxics of the fault proxy with their attributes.
pub const TOXICS: [(&str, &[&str]); 3] = [
    ("latency", &["latency", "jitter"]),
    ("timeout", &["timeout"]),
    ("reset_peer", &["timeout"]),
];

/// Whether traffic of a request can be seen on this link: its caller reports
/// attempts. The key links are followed in the background.
#[must_use]
pub fn is_slot(link: &str) -> bool {
    !is_server(link) && SLOTS.iter().any(|(slot, _)| *slot == link)
}
