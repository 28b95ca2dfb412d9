//! TLS from files: at the gateway for browsers, between the services for both sides at once. Read
//! again when the files change, so that a certificate can be renewed without a restart.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Env;

/// How often files are looked at for changes, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);

const ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];
const SINCE_12: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Where certificates and keys are, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, and after it those between it and the CA's.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CA whose certificates the other side must show. With it TLS is mutual, and 1.3 alone.
    pub ca: Option<PathBuf>,
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Certificate, key and CA don't go together.
    #[error("{0}")]
    Config(String),
}

/// Both ends of TLS, as the files have it now.
pub struct Tls {
    files: TlsFiles,
    made: ArcSwap<Made>,
    looked: Mutex<Looked>,
}

struct Made {
    server: Arc<ServerConfig>,
    client: Option<Arc<ClientConfig>>,
}

struct Looked {
    at: Instant,
    changed: Vec<Option<SystemTime>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] when one can't be read, or they don't go together.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let changed = changed(&files);
        Ok(Arc::new(Self {
            made: ArcSwap::from_pointee(Made::from(&files)?),
            looked: Mutex::new(Looked {
                at: Instant::now(),
                changed,
            }),
            files,
        }))
    }

    /// Reads `<prefix>_CERT`, `<prefix>_KEY` and, where TLS is to be mutual, `<prefix>_CA`; none of
    /// them, no TLS. Problems are left in `env`.
    pub fn read(env: &mut Env, prefix: &str, mutual: bool) -> Option<Arc<Self>> {
        let mut path = |part: &str| env.text(&format!("{prefix}_{part}")).map(PathBuf::from);
        let (cert, key) = (path("CERT"), path("KEY"));
        let ca = if mutual { path("CA") } else { None };
        let files = match (cert, key, ca) {
            (None, None, None) => return None,
            (Some(cert), Some(key), ca) if ca.is_some() || !mutual => TlsFiles { cert, key, ca },
            _ => {
                let ca = if mutual {
                    format!(", {prefix}_CA")
                } else {
                    String::new()
                };
                env.problem(format!(
                    "{prefix}_CERT, {prefix}_KEY{ca} go together: set all or none \
                     (`lab certs` makes development ones)"
                ));
                return None;
            }
        };
        match Self::load(files) {
            Ok(tls) => Some(tls),
            Err(error) => {
                env.problem(format!("{prefix}_…: {error}"));
                None
            }
        }
    }

    /// For a connection that came in.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current().server))
    }

    /// For a connection to be made; none without a CA.
    pub fn connector(&self) -> Option<TlsConnector> {
        self.current().client.clone().map(TlsConnector::from)
    }

    fn current(&self) -> Arc<Made> {
        self.read_again();
        self.made.load_full()
    }

    /// Files that can't be used (half written, perhaps) leave the old ones in force.
    fn read_again(&self) {
        let mut looked = self.looked.lock();
        if looked.at.elapsed() < LOOK_EVERY {
            return;
        }
        looked.at = Instant::now();
        let changed = changed(&self.files);
        if changed == looked.changed {
            return;
        }
        match Made::from(&self.files) {
            Ok(made) => {
                looked.changed = changed;
                self.made.store(Arc::new(made));
                tracing::info!(cert = %self.files.cert.display(), "certificates were read again");
            }
            Err(error) => tracing::warn!(%error, "changed certificates can't be used"),
        }
    }
}

fn changed(files: &TlsFiles) -> Vec<Option<SystemTime>> {
    let paths = [Some(&files.cert), Some(&files.key), files.ca.as_ref()];
    let of = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
    paths.into_iter().flatten().map(of).collect()
}

impl Made {
    fn from(files: &TlsFiles) -> Result<Self, TlsError> {
        let certs = certs(&files.cert)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| file(&files.key, &e))?;
        let roots = files.ca.as_deref().map(roots).transpose()?;
        let server = server(certs.clone(), key.clone_key(), roots.clone())?;
        let client = roots.map(|roots| client(certs, key, roots)).transpose()?;
        Ok(Self {
            server: Arc::new(server),
            client: client.map(Arc::new),
        })
    }
}

fn server(
    certs: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Option<Arc<RootCertStore>>,
) -> Result<ServerConfig, TlsError> {
    let versions = if roots.is_some() { ONLY_13 } else { SINCE_12 };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(config)?;
    let builder = match roots {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(config)?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_single_cert(certs, key).map_err(config)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(server)
}

fn client(
    certs: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
) -> Result<ClientConfig, TlsError> {
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(ONLY_13)
        .map_err(config)?
        .with_root_certificates(roots)
        .with_client_auth_cert(certs, key)
        .map_err(config)?;
    client.alpn_protocols = vec![b"h2".to_vec()];
    Ok(client)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certs(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|e| file(path, &e))?
        .collect();
    let found = found.map_err(|e| file(path, &e))?;
    if found.is_empty() {
        return Err(file(path, &"there is no certificate in it"));
    }
    Ok(found)
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for cert in certs(path)? {
        roots.add(cert).map_err(config)?;
    }
    Ok(Arc::new(roots))
}

fn file(path: &Path, why: &dyn fmt::Display) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn config(error: impl fmt::Display) -> TlsError {
    TlsError::Config(error.to_string())
}
