//! The links between the parts: each goes through a fault proxy of its own.

use anyhow::{Context as _, Result, bail};
use reqwest::Client;
use serde_json::{Value, json};

use crate::ports::{Layout, Port};
use crate::replicas::Service;

/// A link: its id, where callers connect, and what it leads to.
struct Link {
    id: &'static str,
    listen: Port,
    upstream: Port,
    /// The service whose replicas each have a proxy for it. Keys come from the first process of
    /// the user service alone: their readers keep them, so they need no second.
    each: Option<Service>,
}

const fn link(id: &'static str, listen: Port, upstream: Port, each: Option<Service>) -> Link {
    Link {
        id,
        listen,
        upstream,
        each,
    }
}

const LINKS: [Link; 8] = [
    link(
        "gateway-user",
        Port::LinkGatewayUser,
        Port::UserHttp,
        Some(Service::User),
    ),
    link(
        "gateway-product",
        Port::LinkGatewayProduct,
        Port::ProductHttp,
        Some(Service::Product),
    ),
    link(
        "gateway-order",
        Port::LinkGatewayOrder,
        Port::OrderHttp,
        Some(Service::Order),
    ),
    link(
        "order-user",
        Port::LinkOrderUser,
        Port::UserGrpc,
        Some(Service::User),
    ),
    link(
        "order-product",
        Port::LinkOrderProduct,
        Port::ProductGrpc,
        Some(Service::Product),
    ),
    link(
        "order-payment",
        Port::LinkOrderPayment,
        Port::PaymentGrpc,
        Some(Service::Payment),
    ),
    link("order-keys", Port::LinkOrderKeys, Port::UserHttp, None),
    link("product-keys", Port::LinkProductKeys, Port::UserHttp, None),
];

/// The proxies of all links, as Toxiproxy's `POST /populate` takes them. A link to a service
/// with one process has the link's own name; with several, `order-product.1`, `order-product.2`.
pub fn proxies(layout: Layout) -> Value {
    let of = |link: &'static Link| {
        let count = link.each.map_or(1, |service| layout.replicas().of(service));
        (1..=count).map(move |replica| {
            let name = match count {
                1 => link.id.to_owned(),
                _ => format!("{}.{replica}", link.id),
            };
            json!({
                "name": name,
                "listen": layout.address_of(link.listen, replica),
                "upstream": layout.address_of(link.upstream, replica),
                "enabled": true,
            })
        })
    };
    LINKS.iter().flat_map(of).collect()
}

/// Gives a fault proxy that has just started its proxies, and takes off what faults they might
/// have.
///
/// # Errors
/// When it refuses them.
pub async fn make(client: &Client, api: &str, proxies: &Value) -> Result<()> {
    let answer = client
        .post(format!("{api}/populate"))
        .json(proxies)
        .send()
        .await
        .context("the fault proxy does not take its links")?;
    if !answer.status().is_success() {
        let status = answer.status();
        let body = answer.text().await.unwrap_or_default();
        bail!("the fault proxy refuses its links: {status} {body}");
    }
    client
        .post(format!("{api}/reset"))
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .context("the fault proxy does not reset")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::find_free;
    use crate::replicas::Replicas;

    fn upstream(links: &Value, name: &str) -> Option<String> {
        let all = links.as_array().unwrap();
        let link = all.iter().find(|l| l["name"] == name)?;
        assert_eq!(link["enabled"], true);
        Some(link["upstream"].as_str().unwrap().to_owned())
    }

    #[test]
    fn the_links_lead_to_the_services() {
        let layout = find_free(9, Replicas::default()).unwrap();
        let links = proxies(layout);
        assert_eq!(links.as_array().unwrap().len(), LINKS.len());
        let product = layout.address_of(Port::ProductGrpc, 1);
        assert_eq!(upstream(&links, "order-product"), Some(product));
        let payment = layout.address_of(Port::PaymentGrpc, 1);
        assert_eq!(upstream(&links, "order-payment"), Some(payment));
    }

    #[test]
    fn a_service_with_replicas_has_a_proxy_for_each_of_them() {
        let replicas = Replicas::new([("user-service", 2)]).unwrap();
        let layout = find_free(11, replicas).unwrap();
        let links = proxies(layout);
        for replica in [1, 2] {
            let name = format!("gateway-user.{replica}");
            let user = layout.address_of(Port::UserHttp, replica);
            assert_eq!(upstream(&links, &name), Some(user));
        }
        assert_eq!(upstream(&links, "gateway-user"), None);
        assert!(upstream(&links, "order-keys").is_some());
    }
}
