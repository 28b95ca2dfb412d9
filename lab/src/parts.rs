//! What each part of the shop is: its program, its ports, its surroundings.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::compile::Programs;
use crate::place::Place;
use crate::ports::{Layout, Port};
use crate::replicas::Service;
use crate::secrets::Secrets;

/// The names of the parts, in the order in which they start; further replicas of a service
/// (`product-service.2`) come after its first.
pub const NAMES: [&str; 6] = [
    "toxiproxy",
    "user-service",
    "product-service",
    "payment-service",
    "order-service",
    "gateway",
];

/// The accounts of the sample data, for the table at the end of `lab up`.
pub const SAMPLE_ACCOUNTS: &str = "admin, staff, user0 … user9 (password: password123)";

/// How long a replica that is told to end still takes work, while it says that it takes none: its
/// callers ask four times a second, and turn to another one. Alone it has nobody to tell.
const DRAIN_NOTICE_MS: &str = "1500";

/// One process of the shop.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name, as in compose; with a number for second and further replicas.
    pub name: String,
    /// `service`, or `embedded` for what stands in for a real server.
    pub kind: &'static str,
    /// The program to run.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment, on top of the little that is inherited.
    pub env: Vec<(&'static str, String)>,
    /// Where it listens.
    pub address: Address,
}

/// Where a part listens, as URLs.
#[derive(Clone, Debug)]
pub struct Address {
    /// HTTP (or the API, for the fault proxy).
    pub url: String,
    /// gRPC.
    pub grpc: Option<String>,
    /// Prometheus metrics.
    pub metrics: Option<String>,
    /// The control API.
    pub control: Option<String>,
    /// What answers 200 when the part can serve.
    pub ready: String,
    /// What answers 200 as long as the process itself answers.
    pub alive: String,
}

/// All parts, in the order in which they start.
pub fn all(layout: Layout, place: &Place, programs: &Programs, secrets: &Secrets) -> Vec<Part> {
    let context = Context {
        layout,
        place,
        programs,
        secrets,
    };
    let mut parts = vec![context.proxy()];
    for service in Service::ALL {
        for replica in 1..=layout.replicas().of(service) {
            parts.push(match service {
                Service::User => context.user(replica),
                Service::Product => context.product(replica),
                Service::Payment => context.payment(replica),
                Service::Order => context.order(replica),
            });
        }
    }
    parts.push(context.gateway());
    parts
}

struct Context<'a> {
    layout: Layout,
    place: &'a Place,
    programs: &'a Programs,
    secrets: &'a Secrets,
}

impl Context<'_> {
    fn proxy(&self) -> Part {
        let api = self.layout.url(Port::ProxyApi);
        let metrics = self.layout.number(Port::ProxyMetrics).to_string();
        let port = self.layout.number(Port::ProxyApi).to_string();
        Part {
            name: "toxiproxy".to_owned(),
            kind: "embedded",
            program: self.programs.path("chaos-proxy"),
            args: [
                "--host",
                "127.0.0.1",
                "--port",
                &port,
                "--metrics-port",
                &metrics,
            ]
            .map(OsString::from)
            .into(),
            env: Vec::new(),
            address: Address {
                ready: format!("{api}/version"),
                alive: format!("{api}/version"),
                url: api,
                grpc: None,
                metrics: Some(self.metrics(Port::ProxyMetrics, 1)),
                control: None,
            },
        }
    }

    fn user(&self, replica: u8) -> Part {
        let mut env = self.service_env(Service::User, replica);
        env.push((
            "JWT_PRIVATE_KEY_PATH",
            self.place.jwt_key().display().to_string(),
        ));
        self.service(Service::User, replica, env)
    }

    fn product(&self, replica: u8) -> Part {
        let mut env = self.service_env(Service::Product, replica);
        env.push(("USER_SERVICE_URL", self.layout.url(Port::LinkProductKeys)));
        self.service(Service::Product, replica, env)
    }

    fn payment(&self, replica: u8) -> Part {
        let env = self.service_env(Service::Payment, replica);
        self.service(Service::Payment, replica, env)
    }

    fn order(&self, replica: u8) -> Part {
        let mut env = self.service_env(Service::Order, replica);
        env.push(("USER_SERVICE_URL", self.layout.url(Port::LinkOrderKeys)));
        env.push((
            "USER_SERVICE_GRPC_URL",
            self.all(Service::User, Port::LinkOrderUser),
        ));
        env.push((
            "PRODUCT_SERVICE_GRPC_URL",
            self.all(Service::Product, Port::LinkOrderProduct),
        ));
        env.push((
            "PAYMENT_SERVICE_GRPC_URL",
            self.all(Service::Payment, Port::LinkOrderPayment),
        ));
        env.push(("OUTBOX_DIR", self.place.outbox().display().to_string()));
        self.service(Service::Order, replica, env)
    }

    fn gateway(&self) -> Part {
        let mut env = self.common_env(Port::GatewayHttp, Port::GatewayMetrics, 1);
        env.push((
            "LAB_CONTROL_PORT",
            self.layout.number(Port::GatewayControl).to_string(),
        ));
        for (name, service, link) in [
            ("USER_SERVICE_URL", Service::User, Port::LinkGatewayUser),
            (
                "PRODUCT_SERVICE_URL",
                Service::Product,
                Port::LinkGatewayProduct,
            ),
            ("ORDER_SERVICE_URL", Service::Order, Port::LinkGatewayOrder),
        ] {
            env.push((name, self.all(service, link)));
        }
        let url = self.layout.url(Port::GatewayHttp);
        Part {
            name: "gateway".to_owned(),
            kind: "embedded",
            program: self.programs.path("gateway"),
            args: Vec::new(),
            env,
            address: Address {
                ready: format!("{url}/health"),
                alive: format!("{url}/livez"),
                url,
                grpc: None,
                metrics: Some(self.metrics(Port::GatewayMetrics, 1)),
                control: Some(self.layout.url(Port::GatewayControl)),
            },
        }
    }

    /// The addresses of a link to every replica of a service, as callers take them.
    fn all(&self, service: Service, link: Port) -> String {
        (1..=self.layout.replicas().of(service))
            .map(|replica| self.layout.url_of(link, replica))
            .collect::<Vec<_>>()
            .join(",")
    }

    fn service(&self, service: Service, replica: u8, env: Vec<(&'static str, String)>) -> Part {
        let own = Listeners::of(service);
        let url = self.layout.url_of(own.http, replica);
        Part {
            name: service.part(replica),
            kind: "service",
            program: self.programs.path(service.name()),
            args: Vec::new(),
            env,
            address: Address {
                ready: format!("{url}/health/"),
                alive: format!("{url}/health/"),
                url,
                grpc: own.grpc.map(|port| self.layout.url_of(port, replica)),
                metrics: Some(self.metrics(own.metrics, replica)),
                control: Some(self.layout.url_of(own.control, replica)),
            },
        }
    }

    /// Replicas share the database file: SQLite's write-ahead log takes several processes.
    fn service_env(&self, service: Service, replica: u8) -> Vec<(&'static str, String)> {
        let own = Listeners::of(service);
        let database = service.name().trim_end_matches("-service");
        let file = self.place.databases().join(format!("{database}.db"));
        let mut env = self.common_env(own.http, own.metrics, replica);
        let number = |port| self.layout.number_of(port, replica).to_string();
        if self.layout.replicas().of(service) > 1 {
            env.push(("DRAIN_NOTICE_MS", DRAIN_NOTICE_MS.to_owned()));
        }
        env.extend(own.grpc.map(|port| ("GRPC_PORT", number(port))));
        env.push(("LAB_CONTROL_PORT", number(own.control)));
        env.push((
            "DATABASE_URL",
            format!("sqlite://{}?mode=rwc", file.display()),
        ));
        env.push(("SERVICE_SECRET", self.secrets.service_secret.clone()));
        env.push((
            "FIELD_ENCRYPTION_KEYS",
            self.secrets.field_encryption_keys.clone(),
        ));
        env
    }

    fn common_env(&self, http: Port, metrics: Port, replica: u8) -> Vec<(&'static str, String)> {
        let number = |port| self.layout.number_of(port, replica).to_string();
        vec![
            ("HTTP_PORT", number(http)),
            ("METRICS_PORT", number(metrics)),
            ("BIND", "127.0.0.1".to_owned()),
            ("LAB_MODE", "1".to_owned()),
            ("LAB_TOKEN", self.secrets.lab_token.clone()),
        ]
    }

    fn metrics(&self, port: Port, replica: u8) -> String {
        format!("{}/metrics", self.layout.url_of(port, replica))
    }
}

/// Which listeners a service's processes have.
struct Listeners {
    http: Port,
    grpc: Option<Port>,
    metrics: Port,
    control: Port,
}

impl Listeners {
    const fn of(service: Service) -> Self {
        match service {
            Service::User => Self {
                http: Port::UserHttp,
                grpc: Some(Port::UserGrpc),
                metrics: Port::UserMetrics,
                control: Port::UserControl,
            },
            Service::Product => Self {
                http: Port::ProductHttp,
                grpc: Some(Port::ProductGrpc),
                metrics: Port::ProductMetrics,
                control: Port::ProductControl,
            },
            Service::Payment => Self {
                http: Port::PaymentHttp,
                grpc: Some(Port::PaymentGrpc),
                metrics: Port::PaymentMetrics,
                control: Port::PaymentControl,
            },
            Service::Order => Self {
                http: Port::OrderHttp,
                grpc: None,
                metrics: Port::OrderMetrics,
                control: Port::OrderControl,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::find_free;
    use crate::replicas::Replicas;

    fn shop() -> (Vec<Part>, Layout, tempfile::TempDir) {
        shop_with(Replicas::default())
    }

    fn shop_with(replicas: Replicas) -> (Vec<Part>, Layout, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let place = Place {
            root: None,
            data: dir.path().to_owned(),
            home: dir.path().to_owned(),
        };
        let secrets = Secrets::load_or_create(&place.secrets()).unwrap();
        let layout = find_free(7, replicas).unwrap();
        let programs = Programs::in_dir(dir.path());
        (all(layout, &place, &programs, &secrets), layout, dir)
    }

    fn value<'a>(parts: &'a [Part], part: &str, name: &str) -> Option<&'a str> {
        let part = parts.iter().find(|p| p.name == part).unwrap();
        part.env
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_parts_start_in_the_order_of_their_names() {
        let (parts, ..) = shop();
        let names: Vec<_> = parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, NAMES);
    }

    /// Who calls whom, and over which link: a call past the proxy could not be broken.
    #[test]
    fn every_call_between_parts_goes_through_its_link() {
        let (parts, layout, _dir) = shop();
        for (part, name, link) in [
            ("gateway", "USER_SERVICE_URL", Port::LinkGatewayUser),
            ("gateway", "PRODUCT_SERVICE_URL", Port::LinkGatewayProduct),
            ("gateway", "ORDER_SERVICE_URL", Port::LinkGatewayOrder),
            (
                "order-service",
                "USER_SERVICE_GRPC_URL",
                Port::LinkOrderUser,
            ),
            (
                "order-service",
                "PRODUCT_SERVICE_GRPC_URL",
                Port::LinkOrderProduct,
            ),
            (
                "order-service",
                "PAYMENT_SERVICE_GRPC_URL",
                Port::LinkOrderPayment,
            ),
            ("order-service", "USER_SERVICE_URL", Port::LinkOrderKeys),
            ("product-service", "USER_SERVICE_URL", Port::LinkProductKeys),
        ] {
            assert_eq!(
                value(&parts, part, name),
                Some(layout.url(link).as_str()),
                "{part} {name}"
            );
        }
    }

    #[test]
    fn only_the_user_service_is_told_where_the_private_key_is() {
        let (parts, ..) = shop();
        assert!(value(&parts, "user-service", "JWT_PRIVATE_KEY_PATH").is_some());
        for part in [
            "product-service",
            "payment-service",
            "order-service",
            "gateway",
        ] {
            assert_eq!(value(&parts, part, "JWT_PRIVATE_KEY_PATH"), None);
        }
        assert_eq!(value(&parts, "gateway", "FIELD_ENCRYPTION_KEYS"), None);
    }

    #[test]
    fn replicas_share_their_data_and_their_callers_know_them_all() {
        let counts = [("product-service", 2), ("user-service", 2)];
        let (parts, layout, _dir) = shop_with(Replicas::new(counts).unwrap());
        let names: Vec<_> = parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "toxiproxy",
                "user-service",
                "user-service.2",
                "product-service",
                "product-service.2",
                "payment-service",
                "order-service",
                "gateway"
            ]
        );
        assert_eq!(
            value(&parts, "user-service.2", "DRAIN_NOTICE_MS"),
            Some("1500")
        );
        assert_eq!(value(&parts, "order-service", "DRAIN_NOTICE_MS"), None);
        for name in ["DATABASE_URL", "JWT_PRIVATE_KEY_PATH"] {
            assert_eq!(
                value(&parts, "user-service", name),
                value(&parts, "user-service.2", name)
            );
        }
        for name in ["HTTP_PORT", "GRPC_PORT", "METRICS_PORT", "LAB_CONTROL_PORT"] {
            let first = value(&parts, "product-service", name).unwrap();
            assert_ne!(Some(first), value(&parts, "product-service.2", name));
        }
        let both = [1, 2].map(|r| layout.url_of(Port::LinkOrderProduct, r));
        assert_eq!(
            value(&parts, "order-service", "PRODUCT_SERVICE_GRPC_URL"),
            Some(both.join(",").as_str())
        );
    }
}
