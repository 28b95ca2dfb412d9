//! `lab certs`: a development CA, and a certificate for each part, for TLS at the gateway and mutual
//! TLS between the services.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// Options of `lab certs`.
#[derive(Clone, Debug, Args)]
pub struct CertsArgs {
    /// Folder for the files, made if it is missing [default: certs in the lab's data folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Each part that listens or calls, as it is called in compose.
const PARTS: [&str; 5] = [
    "gateway",
    "user-service",
    "product-service",
    "order-service",
    "payment-service",
];
/// Where a part is reached on one machine.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Browsers and rustls take longer ones, but a development certificate should not outlive its use.
const LIFE: Duration = Duration::days(90);
/// Clocks of containers and their host may differ.
const BACK: Duration = Duration::hours(1);

/// Makes them; prints where, and which variables take them.
///
/// # Errors
/// When a file is there already or can't be written.
pub fn run(args: &CertsArgs, data: &Path) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| data.join("certs"));
    let made = make(&out)?;
    println!("made in {}:", out.display());
    for name in made {
        println!("  {name}");
    }
    println!("\n{}", usage(&out));
    Ok(())
}

fn usage(out: &Path) -> String {
    let path = |name: &str| out.join(name).display().to_string();
    [
        "The gateway serves TLS with".to_owned(),
        format!("  GATEWAY_TLS_CERT={}", path("gateway.pem")),
        format!("  GATEWAY_TLS_KEY={}", path("gateway.key")),
        "and a service, here the user service, mutual TLS over gRPC with".to_owned(),
        format!("  GRPC_TLS_CERT={}", path("user-service.pem")),
        format!("  GRPC_TLS_KEY={}", path("user-service.key")),
        format!("  GRPC_TLS_CA={}", path("ca.pem")),
        "They are for development, and good for 90 days: a client that is to believe them needs \
         ca.pem."
            .to_owned(),
    ]
    .join("\n")
}

/// The names of the files that were made.
fn make(out: &Path) -> Result<Vec<String>> {
    std::fs::create_dir_all(out)
        .with_context(|| format!("cannot make the folder {}", out.display()))?;
    let (ca, ca_key) = (out.join("ca.pem"), out.join("ca.key"));
    for path in [&ca, &ca_key] {
        ensure!(
            !path.exists(),
            "{} is there already: remove the folder, or name another with --out",
            path.display()
        );
    }
    let issuer = authority()?;
    write(&ca, &issuer.pem())?;
    write(&ca_key, &issuer.key().serialize_pem())?;
    let mut made = vec!["ca.pem".to_owned(), "ca.key".to_owned()];
    for part in PARTS {
        let key = KeyPair::generate()?;
        let cert = leaf(part)?.signed_by(&key, &issuer)?;
        for (name, text) in [
            (format!("{part}.pem"), cert.pem()),
            (format!("{part}.key"), key.serialize_pem()),
        ] {
            write(&out.join(&name), &text)?;
            made.push(name);
        }
    }
    Ok(made)
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = params("Faultline development CA", &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// For both sides of a connection: a service answers and calls.
fn leaf(part: &str) -> Result<CertificateParams> {
    let mut params = params(part, &[&[part], &LOCAL[..]].concat())?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

fn params(name: &str, names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACK;
    params.not_after = now + LIFE;
    Ok(params)
}

/// Readable by its owner alone, certificates too: who can read one next to a key reads both.
fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_pair_for_each_part_that_only_the_owner_reads() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("certs");
        let made = make(&out).unwrap();
        assert_eq!(made.len(), 2 + 2 * PARTS.len());
        for name in &made {
            let path = out.join(name);
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            let text = std::fs::read_to_string(path).unwrap();
            let what = if name.ends_with(".key") {
                "PRIVATE KEY"
            } else {
                "CERTIFICATE"
            };
            assert!(
                text.starts_with(&format!("-----BEGIN {what}-----")),
                "{name}"
            );
        }
        let again = make(&out).unwrap_err().to_string();
        assert!(again.contains("is there already"), "{again}");
        assert!(usage(&out).contains("GRPC_TLS_CA="));
    }
}
