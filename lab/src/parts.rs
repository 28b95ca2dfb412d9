//! What each part of the shop is: its program, its ports, its surroundings.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::compile::Programs;
use crate::place::Place;
use crate::ports::{Layout, Port};
use crate::secrets::Secrets;

/// The names of the parts, in the order in which they start.
pub const NAMES: [&str; 5] = [
    "toxiproxy",
    "user-service",
    "product-service",
    "order-service",
    "gateway",
];

/// The accounts of the sample data, for the table at the end of `lab up`.
pub const SAMPLE_ACCOUNTS: &str = "admin, staff, user0 … user9 (password: password123)";

/// One process of the shop.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name, as in compose.
    pub name: &'static str,
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

/// A link through the fault proxy: its id, where callers connect, what it leads to.
const LINKS: [(&str, Port, Port); 7] = [
    ("gateway-user", Port::LinkGatewayUser, Port::UserHttp),
    (
        "gateway-product",
        Port::LinkGatewayProduct,
        Port::ProductHttp,
    ),
    ("gateway-order", Port::LinkGatewayOrder, Port::OrderHttp),
    ("order-user", Port::LinkOrderUser, Port::UserGrpc),
    ("order-product", Port::LinkOrderProduct, Port::ProductGrpc),
    ("order-keys", Port::LinkOrderKeys, Port::UserHttp),
    ("product-keys", Port::LinkProductKeys, Port::UserHttp),
];

/// The proxies of all links, as Toxiproxy's `POST /populate` takes them.
pub fn links(layout: Layout) -> Value {
    LINKS
        .iter()
        .map(|(name, listen, upstream)| {
            json!({
                "name": name,
                "listen": layout.address(*listen),
                "upstream": layout.address(*upstream),
                "enabled": true,
            })
        })
        .collect()
}

/// All parts, in the order in which they start.
pub fn all(layout: Layout, place: &Place, programs: &Programs, secrets: &Secrets) -> Vec<Part> {
    let context = Context {
        layout,
        place,
        programs,
        secrets,
    };
    vec![
        context.proxy(),
        context.user(),
        context.product(),
        context.order(),
        context.gateway(),
    ]
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
            name: "toxiproxy",
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
                metrics: Some(self.metrics(Port::ProxyMetrics)),
                control: None,
            },
        }
    }

    fn user(&self) -> Part {
        let mut env = self.service_env("user", Port::UserHttp, Port::UserMetrics);
        env.push(("GRPC_PORT", self.layout.number(Port::UserGrpc).to_string()));
        env.push((
            "LAB_CONTROL_PORT",
            self.layout.number(Port::UserControl).to_string(),
        ));
        env.push((
            "JWT_PRIVATE_KEY_PATH",
            self.place.jwt_key().display().to_string(),
        ));
        self.service(
            "user-service",
            env,
            Port::UserHttp,
            Some(Port::UserGrpc),
            [Port::UserMetrics, Port::UserControl],
        )
    }

    fn product(&self) -> Part {
        let mut env = self.service_env("product", Port::ProductHttp, Port::ProductMetrics);
        env.push((
            "GRPC_PORT",
            self.layout.number(Port::ProductGrpc).to_string(),
        ));
        env.push((
            "LAB_CONTROL_PORT",
            self.layout.number(Port::ProductControl).to_string(),
        ));
        env.push(("USER_SERVICE_URL", self.layout.url(Port::LinkProductKeys)));
        self.service(
            "product-service",
            env,
            Port::ProductHttp,
            Some(Port::ProductGrpc),
            [Port::ProductMetrics, Port::ProductControl],
        )
    }

    fn order(&self) -> Part {
        let mut env = self.service_env("order", Port::OrderHttp, Port::OrderMetrics);
        env.push((
            "LAB_CONTROL_PORT",
            self.layout.number(Port::OrderControl).to_string(),
        ));
        env.push(("USER_SERVICE_URL", self.layout.url(Port::LinkOrderKeys)));
        env.push((
            "USER_SERVICE_GRPC_URL",
            self.layout.url(Port::LinkOrderUser),
        ));
        env.push((
            "PRODUCT_SERVICE_GRPC_URL",
            self.layout.url(Port::LinkOrderProduct),
        ));
        self.service(
            "order-service",
            env,
            Port::OrderHttp,
            None,
            [Port::OrderMetrics, Port::OrderControl],
        )
    }

    fn gateway(&self) -> Part {
        let mut env = self.common_env(Port::GatewayHttp, Port::GatewayMetrics);
        env.push((
            "LAB_CONTROL_PORT",
            self.layout.number(Port::GatewayControl).to_string(),
        ));
        env.push(("USER_SERVICE_URL", self.layout.url(Port::LinkGatewayUser)));
        env.push((
            "PRODUCT_SERVICE_URL",
            self.layout.url(Port::LinkGatewayProduct),
        ));
        env.push(("ORDER_SERVICE_URL", self.layout.url(Port::LinkGatewayOrder)));
        let url = self.layout.url(Port::GatewayHttp);
        Part {
            name: "gateway",
            kind: "embedded",
            program: self.programs.path("gateway"),
            args: Vec::new(),
            env,
            address: Address {
                ready: format!("{url}/health"),
                alive: format!("{url}/livez"),
                url,
                grpc: None,
                metrics: Some(self.metrics(Port::GatewayMetrics)),
                control: Some(self.layout.url(Port::GatewayControl)),
            },
        }
    }

    fn service(
        &self,
        name: &'static str,
        env: Vec<(&'static str, String)>,
        http: Port,
        grpc: Option<Port>,
        [metrics, control]: [Port; 2],
    ) -> Part {
        let url = self.layout.url(http);
        Part {
            name,
            kind: "service",
            program: self.programs.path(name),
            args: Vec::new(),
            env,
            address: Address {
                ready: format!("{url}/health/"),
                alive: format!("{url}/health/"),
                url,
                grpc: grpc.map(|port| self.layout.url(port)),
                metrics: Some(self.metrics(metrics)),
                control: Some(self.layout.url(control)),
            },
        }
    }

    fn service_env(
        &self,
        database: &str,
        http: Port,
        metrics: Port,
    ) -> Vec<(&'static str, String)> {
        let file = self.place.databases().join(format!("{database}.db"));
        let mut env = self.common_env(http, metrics);
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

    fn common_env(&self, http: Port, metrics: Port) -> Vec<(&'static str, String)> {
        vec![
            ("HTTP_PORT", self.layout.number(http).to_string()),
            ("METRICS_PORT", self.layout.number(metrics).to_string()),
            ("BIND", "127.0.0.1".to_owned()),
            ("LAB_MODE", "1".to_owned()),
            ("LAB_TOKEN", self.secrets.lab_token.clone()),
        ]
    }

    fn metrics(&self, port: Port) -> String {
        format!("{}/metrics", self.layout.url(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::find_free;

    fn shop() -> (Vec<Part>, Layout, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let place = Place {
            root: None,
            data: dir.path().to_owned(),
            home: dir.path().to_owned(),
        };
        let secrets = Secrets::load_or_create(&place.secrets()).unwrap();
        let layout = find_free(7).unwrap();
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
        let names: Vec<_> = parts.iter().map(|part| part.name).collect();
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
        for part in ["product-service", "order-service", "gateway"] {
            assert_eq!(value(&parts, part, "JWT_PRIVATE_KEY_PATH"), None);
        }
        assert_eq!(value(&parts, "gateway", "FIELD_ENCRYPTION_KEYS"), None);
    }

    #[test]
    fn the_links_lead_to_the_services() {
        let layout = find_free(9).unwrap();
        let links = links(layout);
        let order_product = links
            .as_array()
            .unwrap()
            .iter()
            .find(|l| l["name"] == "order-product")
            .unwrap();
        assert_eq!(
            order_product["listen"],
            layout.address(Port::LinkOrderProduct)
        );
        assert_eq!(order_product["upstream"], layout.address(Port::ProductGrpc));
        assert_eq!(order_product["enabled"], true);
    }
}
