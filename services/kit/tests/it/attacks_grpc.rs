//! The doors between the services: secret, certificates, sizes.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path, sync::Arc};

use kit::{
    Common, Ctx, Running, Server, Slots,
    grpc::{Link, secret},
    tls::{Tls, TlsFiles},
};
use proto::user::{
    ValidateUserRequest, ValidateUserResponse,
    user_service_client::UserServiceClient,
    user_service_server::{UserService, UserServiceServer},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Request, Response, Status, codec::CompressionEncoding, transport::Channel};

struct Users;

#[tonic::async_trait]
impl UserService for Users {
    async fn validate_user(
        &self,
        _: Request<ValidateUserRequest>,
    ) -> Result<Response<ValidateUserResponse>, Status> {
        Ok(Response::new(ValidateUserResponse::default()))
    }
}

async fn start(tls: Option<Arc<Tls>>) -> Running {
    let common = Common {
        grpc_tls: tls,
        ..Common::for_test("user")
    };
    let users = UserServiceServer::with_interceptor(Users, secret(&common.service_secret));
    Server::new(&common)
        .grpc(tonic::service::Routes::new(users), &["user.UserService"])
        .start()
        .await
        .unwrap()
}

async fn client(running: &Running) -> UserServiceClient<Channel> {
    let url = format!("http://{}", running.grpc.unwrap());
    UserServiceClient::connect(url).await.unwrap()
}

fn asking(secret: Option<&str>, bytes: usize) -> Request<ValidateUserRequest> {
    let mut request = Request::new(ValidateUserRequest {
        user_id: 1,
        requesting_service: "x".repeat(bytes),
    });
    if let Some(secret) = secret {
        let value = secret.parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

// attack(gRPC secret): gRPC without secret, with a wrong, shorter, longer or bare one -> UNAUTHENTICATED
#[tokio::test]
async fn who_does_not_know_the_secret_is_refused() {
    let running = start(None).await;
    let mut client = client(&running).await;
    for wrong in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer test-secre"),
        Some("Bearer test-secret "),
        Some("Bearer test-secret2"),
        Some("Bearer TEST-SECRET"),
        Some("bearer test-secret"),
        Some("test-secret"),
    ] {
        let refused = client.validate_user(asking(wrong, 0)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{wrong:?}");
    }
    let known = asking(Some("Bearer test-secret"), 0);
    client.validate_user(known).await.unwrap();
}

// attack(large message, gzip bomb): a 5 MiB message -> OUT_OF_RANGE or RESOURCE_EXHAUSTED; a gzip bomb -> UNIMPLEMENTED, it is never unpacked
#[tokio::test]
async fn a_message_has_a_bound_and_is_not_unpacked() {
    let running = start(None).await;
    let mut plain = client(&running).await;
    let large = asking(Some("Bearer test-secret"), 3 << 20);
    plain.validate_user(large).await.unwrap();
    let too_large = asking(Some("Bearer test-secret"), 5 << 20);
    let refused = plain.validate_user(too_large).await.unwrap_err();
    let bounded = [Code::OutOfRange, Code::ResourceExhausted];
    assert!(bounded.contains(&refused.code()), "{refused:?}");
    let zipped = client(&running).await;
    let mut zipped = zipped.send_compressed(CompressionEncoding::Gzip);
    let bomb = asking(Some("Bearer test-secret"), 3 << 20);
    let refused = zipped.validate_user(bomb).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
}

/// A CA with a certificate for this machine, as `lab certs` makes them.
fn authority(dir: &Path) -> TlsFiles {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let files = TlsFiles {
        cert: dir.join("a.pem"),
        key: dir.join("a.key"),
        ca: Some(dir.join("ca.pem")),
    };
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let cert = params.signed_by(&key, &ca).unwrap();
    fs::write(&files.cert, cert.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    fs::write(files.ca.as_ref().unwrap(), ca.pem()).unwrap();
    files
}

/// Two authorities that know nothing of each other.
struct Worlds {
    ours: TlsFiles,
    theirs: TlsFiles,
    _dirs: [TempDir; 2],
}

fn worlds() -> Worlds {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    Worlds {
        ours: authority(dirs[0].path()),
        theirs: authority(dirs[1].path()),
        _dirs: dirs,
    }
}

fn link(running: &Running, tls: Option<&Arc<Tls>>) -> Link {
    let common = Common::for_test("order");
    let slots = Slots::new(&common);
    let slot = slots.with_policy("order-user", "user", resilience::preset::none());
    // Both spellings are taken where there are certificates.
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", running.grpc.unwrap());
    let secret = SecretString::from("test-secret");
    Link::new(&url, tls, slot, &secret, "order", "user.UserService").unwrap()
}

async fn ask(link: &Link) -> Result<ValidateUserResponse, String> {
    let ctx = Ctx::internal("t");
    let message = ValidateUserRequest::default();
    let asked = link.unary(
        &ctx,
        "ValidateUser",
        true,
        message,
        |channel, request| async { UserServiceClient::new(channel).validate_user(request).await },
    );
    asked.await.map_err(|error| format!("{error:?}"))
}

// attack(foreign CA): gRPC without a certificate, or with one of a foreign CA -> refused in the handshake, by either side
#[tokio::test]
async fn mutual_tls_lets_in_only_our_own() {
    let worlds = worlds();
    let ours = Tls::load(worlds.ours.clone()).unwrap();
    let theirs = Tls::load(worlds.theirs.clone()).unwrap();
    let running = start(Some(Arc::clone(&ours))).await;
    ask(&link(&running, Some(&ours))).await.unwrap();
    ask(&link(&running, None)).await.unwrap_err();
    ask(&link(&running, Some(&theirs))).await.unwrap_err();
    // Their certificate, but our CA to check the server with.
    let mixed = Tls::load(TlsFiles {
        ca: worlds.ours.ca.clone(),
        ..worlds.theirs.clone()
    });
    ask(&link(&running, Some(&mixed.unwrap())))
        .await
        .unwrap_err();
    // A server of theirs is nobody we talk to.
    let foreign = start(Some(theirs)).await;
    ask(&link(&foreign, Some(&ours))).await.unwrap_err();
}

fn certs(path: &Path) -> Vec<CertificateDer<'static>> {
    let certs = CertificateDer::pem_file_iter(path).unwrap();
    certs.collect::<Result<_, _>>().unwrap()
}

/// Whether a client with our certificate that speaks this version alone gets through.
async fn speaks(
    running: &Running,
    files: &TlsFiles,
    version: &'static SupportedProtocolVersion,
    with_cert: bool,
) -> bool {
    let mut roots = RootCertStore::empty();
    roots
        .add(certs(files.ca.as_ref().unwrap()).remove(0))
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let mut config = if with_cert {
        config
            .with_client_auth_cert(certs(&files.cert), key)
            .unwrap()
    } else {
        config.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(running.grpc.unwrap()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let Ok(mut stream) = connector.connect(name, stream).await else {
        return false;
    };
    // In TLS 1.3 the client hears of a refusal with its first read.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    if stream.write_all(preface).await.is_err() {
        return false;
    }
    let mut settings = [0; 9];
    stream.read_exact(&mut settings).await.is_ok()
}

// attack(TLS 1.2): gRPC with TLS 1.2, or TLS 1.3 without a certificate -> refused in the handshake
#[tokio::test]
async fn between_services_there_is_tls_1_3_alone() {
    let worlds = worlds();
    let ours = Tls::load(worlds.ours.clone()).unwrap();
    let running = start(Some(ours)).await;
    assert!(speaks(&running, &worlds.ours, &TLS13, true).await);
    assert!(!speaks(&running, &worlds.ours, &TLS12, true).await);
    assert!(!speaks(&running, &worlds.ours, &TLS13, false).await);
}

// attack: configuration of TLS by halves, or files that don't go together -> it does not start
#[tokio::test]
async fn half_of_tls_is_none() {
    let worlds = worlds();
    let path = |path: &Path| path.display().to_string();
    let (cert, key) = (path(&worlds.ours.cert), path(&worlds.ours.key));
    let (ca, other) = (
        path(worlds.ours.ca.as_ref().unwrap()),
        path(&worlds.theirs.key),
    );
    let read = |pairs: &[(&str, &str)]| {
        let mut env = kit::Env::from_pairs(pairs);
        let tls = Tls::read(&mut env, "GRPC_TLS", true);
        env.finish()
            .map(|()| tls.is_some())
            .map_err(|e| e.to_string())
    };
    let (cert, key) = (("GRPC_TLS_CERT", &*cert), ("GRPC_TLS_KEY", &*key));
    let ca = ("GRPC_TLS_CA", &*ca);
    assert_eq!(read(&[]), Ok(false));
    assert_eq!(read(&[cert, key, ca]), Ok(true));
    for half in [&[cert][..], &[key, ca], &[cert, key]] {
        let error = read(half).unwrap_err();
        assert!(error.contains("go together"), "{error}");
    }
    read(&[cert, ("GRPC_TLS_KEY", &other), ca]).unwrap_err();
    read(&[cert, key, ("GRPC_TLS_CA", "/nowhere.pem")]).unwrap_err();
}
