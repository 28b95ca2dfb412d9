//! The gateway over TLS.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::common;

use std::{fs, path::Path, sync::Arc, time::Duration};

use axum::{Json, Router, extract::Request, routing::any};
use common::{Gateway, Service};
use kit::tls::{Tls, TlsFiles};
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Certificate, tls::Version};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

fn files(dir: &Path) -> TlsFiles {
    TlsFiles {
        cert: dir.join("gateway.pem"),
        key: dir.join("gateway.key"),
        ca: None,
    }
}

/// A fresh certificate in `dir`; its own CA.
fn renew(dir: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let cert = CertificateParams::new(names).unwrap();
    let pem = cert.self_signed(&key).unwrap().pem();
    fs::write(files(dir).cert, &pem).unwrap();
    fs::write(files(dir).key, key.serialize_pem()).unwrap();
    pem
}

async fn start(dir: &Path) -> (Gateway, Service) {
    let app = Router::new().fallback(any(|request: Request| async move {
        let proto = request.headers()["x-forwarded-proto"]
            .to_str()
            .unwrap()
            .to_owned();
        Json(json!({ "proto": proto }))
    }));
    let service = Service::start(app).await;
    let tls = Tls::load(files(dir)).unwrap();
    let gateway = Gateway::start_with(&service.url, |config| {
        config.common.http_tls = Some(tls);
    })
    .await;
    (gateway, service)
}

// attack: a downgrade, or plain HTTP where there is TLS -> no answer; TLS 1.2 and 1.3 are served with HSTS, over HTTP/2 and HTTP/1.1
#[tokio::test]
async fn browsers_are_served_over_tls_1_2_or_newer() {
    let dir = tempfile::tempdir().unwrap();
    let root = Certificate::from_pem(renew(dir.path()).as_bytes()).unwrap();
    let (gateway, _service) = start(dir.path()).await;
    let url = format!("https://{}/api/orders/", gateway.address());
    for (version, http_1) in [
        (Version::TLS_1_2, true),
        (Version::TLS_1_3, true),
        (Version::TLS_1_3, false),
    ] {
        let client = reqwest::Client::builder()
            .tls_certs_only([root.clone()])
            .tls_version_min(version)
            .tls_version_max(version);
        let client = if http_1 { client.http1_only() } else { client };
        let client = client.build().unwrap();
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let two = reqwest::Version::HTTP_2;
        assert_eq!(answer.version() == two, !http_1);
        let hsts = answer.headers()["strict-transport-security"]
            .to_str()
            .unwrap();
        assert!(hsts.starts_with("max-age="), "{hsts}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["proto"], "https");
    }
    let plain = format!("http://{}/api/orders/", gateway.address());
    reqwest::get(plain).await.unwrap_err();
    let stranger = reqwest::Client::new();
    stranger.get(&url).send().await.unwrap_err();
}

// attack(slow headers): a TLS handshake that never ends -> closed within 10 s
#[tokio::test]
async fn a_handshake_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    renew(dir.path());
    let (gateway, _service) = start(dir.path()).await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("closed within 10 s");
}

/// The certificate that is shown now.
async fn shown(tls: &Tls, roots: &[String]) -> Option<Vec<u8>> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store
            .add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap())
            .unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    let (ours, theirs) = tokio::io::duplex(16 * 1024);
    let name = ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let (client, server) =
        tokio::join!(connector.connect(name, ours), tls.acceptor().accept(theirs));
    server.ok()?;
    let client = client.ok()?;
    let certs = client.get_ref().1.peer_certificates()?;
    Some(certs[0].to_vec())
}

#[tokio::test(start_paused = true)]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = renew(dir.path());
    let tls = Tls::load(files(dir.path())).unwrap();
    let der = |pem: &String| {
        CertificateDer::from_pem_slice(pem.as_bytes())
            .unwrap()
            .to_vec()
    };
    let roots = [first.clone()];
    assert_eq!(shown(&tls, &roots).await, Some(der(&first)));
    let later = std::time::SystemTime::now() + Duration::from_secs(5);
    let touch = |path: &Path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(later).unwrap();
    };
    // Half a renewal is none.
    let second = renew(dir.path());
    let good = fs::read(files(dir.path()).cert).unwrap();
    fs::write(files(dir.path()).cert, "half").unwrap();
    touch(&files(dir.path()).cert);
    tokio::time::advance(Duration::from_secs(10)).await;
    let roots = [first.clone(), second.clone()];
    assert_eq!(shown(&tls, &roots).await, Some(der(&first)));
    fs::write(files(dir.path()).cert, good).unwrap();
    touch(&files(dir.path()).cert);
    touch(&files(dir.path()).key);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(shown(&tls, &roots).await, Some(der(&second)));
}
