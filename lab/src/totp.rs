//! `lab totp`: the second factor without a phone.

use anyhow::{Result, anyhow};
use totp_rs::{Builder, Secret, Totp};

use crate::exit::Exit;

/// Prints the code that an authenticator app would show now (RFC 6238, SHA-1, 6 digits, 30 s).
///
/// # Errors
/// When the secret is not base32.
pub fn run(secret: &str) -> Result<Exit> {
    println!("{}", totp(secret)?.generate_current());
    Ok(Exit::Held)
}

fn totp(secret: &str) -> Result<Totp> {
    let plain: String = secret
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-' && *c != '=')
        .collect();
    let secret = Secret::try_from_base32(plain.to_uppercase()).map_err(|_| {
        anyhow!("that is not a base32 secret; it is the `secret_key` of POST /api/users/2fa/setup/")
    })?;
    // Unchecked on purpose: the secret is the server's choice, whatever its length.
    Ok(Builder::new().with_secret(secret).build_noncompliant())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the 20-byte ASCII secret at 59 s gives 94287082, of which we show six.
    #[test]
    fn the_rfc_example_comes_out() {
        let secret = "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ";
        assert_eq!(totp(secret).unwrap().generate(59).to_string(), "287082");
        let lower = secret.to_lowercase();
        assert_eq!(totp(&lower).unwrap().generate(59).to_string(), "287082");
    }

    #[test]
    fn what_is_not_base32_is_refused() {
        assert!(totp("not base32!").is_err());
    }
}
