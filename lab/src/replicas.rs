//! How many processes each service has.

use anyhow::{Result, bail};

use crate::ports::{FURTHER_ROOM, Port};
use crate::text;

/// A service, which can have several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    User,
    Product,
    Payment,
    Order,
}

impl Service {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 4] = [Self::User, Self::Product, Self::Payment, Self::Order];

    /// The name of its (first) part, as in compose.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user-service",
            Self::Product => "product-service",
            Self::Payment => "payment-service",
            Self::Order => "order-service",
        }
    }

    /// The listeners that each of its processes has, those of the links to it included.
    pub const fn ports(self) -> &'static [Port] {
        match self {
            Self::User => &[
                Port::UserHttp,
                Port::UserGrpc,
                Port::UserMetrics,
                Port::UserControl,
                Port::LinkGatewayUser,
                Port::LinkOrderUser,
            ],
            Self::Product => &[
                Port::ProductHttp,
                Port::ProductGrpc,
                Port::ProductMetrics,
                Port::ProductControl,
                Port::LinkGatewayProduct,
                Port::LinkOrderProduct,
            ],
            Self::Payment => &[
                Port::PaymentHttp,
                Port::PaymentGrpc,
                Port::PaymentMetrics,
                Port::PaymentControl,
                Port::LinkOrderPayment,
            ],
            Self::Order => &[
                Port::OrderHttp,
                Port::OrderMetrics,
                Port::OrderControl,
                Port::LinkGatewayOrder,
            ],
        }
    }

    /// The name of the part that is this replica: the first has the service's own name.
    pub fn part(self, replica: u8) -> String {
        match replica {
            1 => self.name().to_owned(),
            n => format!("{}.{n}", self.name()),
        }
    }
}

/// How many processes each service has: one, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas([u8; 4]);

impl Default for Replicas {
    fn default() -> Self {
        Self([1; 4])
    }
}

impl Replicas {
    /// So many of each service that is named.
    ///
    /// # Errors
    /// For a part that can't have replicas, none of a service, or more than there are ports for.
    pub fn new<'a>(counts: impl IntoIterator<Item = (&'a str, u32)>) -> Result<Self> {
        let mut replicas = Self::default();
        for (name, count) in counts {
            let Some(at) = Service::ALL
                .iter()
                .position(|service| service.name() == name)
            else {
                return replicas.refuse(name, count);
            };
            match u8::try_from(count) {
                Ok(count) if count > 0 => replicas.0[at] = count,
                _ => bail!("{name} can't have {count} replicas"),
            }
        }
        let wanted = replicas.further_listeners();
        if wanted > FURTHER_ROOM {
            bail!(
                "too many replicas: those beyond the first need {wanted} ports (six for each of \
                 user-service and product-service, five for payment-service, four for \
                 order-service), and a lab has {FURTHER_ROOM} for them"
            );
        }
        Ok(replicas)
    }

    /// One gateway is the only entry, and one fault proxy serves all links.
    fn refuse(self, name: &str, count: u32) -> Result<Self> {
        let single = ["gateway", "toxiproxy"].contains(&name);
        if single && count == 1 {
            return Ok(self);
        }
        let names = Service::ALL.map(Service::name);
        let hint = text::suggest(name, names.into_iter());
        bail!(
            "{name:?} can't have replicas{hint}; those that can are {}",
            names.join(", ")
        )
    }

    /// How many processes the service has.
    pub fn of(self, service: Service) -> u8 {
        self.0[service as usize]
    }

    fn further_listeners(self) -> usize {
        let of = |service: Service| usize::from(self.of(service) - 1) * service.ports().len();
        Service::ALL.into_iter().map(of).sum()
    }
}

/// Reads `product-service=2` of the command line.
///
/// # Errors
/// When it is something else.
pub fn parse(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("{text:?}: write SERVICE=N, as in product-service=2");
    let (name, count) = text.split_once('=').ok_or_else(wrong)?;
    let count = count.trim().parse().map_err(|_| wrong())?;
    Ok((name.trim().to_owned(), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_one_process_unless_said_otherwise() {
        let replicas = Replicas::new([("product-service", 2), ("gateway", 1)]).unwrap();
        assert_eq!(Service::ALL.map(|s| replicas.of(s)), [1, 2, 1, 1]);
        assert_eq!(Service::Product.part(1), "product-service");
        assert_eq!(Service::Product.part(2), "product-service.2");
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        let refused = |name, count| Replicas::new([(name, count)]).unwrap_err().to_string();
        assert!(refused("product-servce", 2).contains("did you mean \"product-service\"?"));
        assert!(refused("gateway", 2).contains("can't have replicas"));
        assert!(refused("order-service", 0).contains("0 replicas"));
        assert!(refused("product-service", 6).contains("30 ports"));
    }

    #[test]
    fn the_command_line_names_a_service_and_a_number() {
        assert_eq!(parse("a=2"), Ok(("a".to_owned(), 2)));
        assert!(parse("a").is_err() && parse("a=two").is_err());
    }
}
