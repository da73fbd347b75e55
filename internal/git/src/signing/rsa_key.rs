//! RSA by aws-lc: a signature of 4096 bits takes milliseconds, and a tenth of what the libraries take
//! that read the keys.

use aws_lc_rs::{
    digest::{self, Digest},
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{RSA_PKCS1_SHA512, RsaEncoding},
};
use rsa::{BigUint, RsaPrivateKey, pkcs1::EncodeRsaPrivateKey};

/// Signs SHA-512 digests with PKCS #1 v1.5 padding. No `Debug`: it is a secret.
pub(super) struct RsaKey(KeyPair);

/// What a key consists of, as big-endian numbers.
pub(super) struct Numbers<'a> {
    pub(super) modulus: &'a [u8],
    pub(super) public_exponent: &'a [u8],
    pub(super) private_exponent: &'a [u8],
    pub(super) primes: [&'a [u8]; 2],
}

impl RsaKey {
    /// `None` when the numbers are no key, or one of less than 2048 bits.
    pub(super) fn new(numbers: &Numbers<'_>) -> Option<Self> {
        let key = RsaPrivateKey::from_components(
            BigUint::from_bytes_be(numbers.modulus),
            BigUint::from_bytes_be(numbers.public_exponent),
            BigUint::from_bytes_be(numbers.private_exponent),
            numbers.primes.map(BigUint::from_bytes_be).into(),
        );
        KeyPair::from_der(key.ok()?.to_pkcs1_der().ok()?.as_bytes()).ok().map(Self)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }

    pub(super) fn sign_digest(&self, sha512: &[u8]) -> Option<Vec<u8>> {
        let digest = Digest::import_less_safe(sha512, &digest::SHA512).ok()?;
        let padding: &'static dyn RsaEncoding = &RSA_PKCS1_SHA512;
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign_digest(padding, &digest, &mut signature).ok()?;
        Some(signature)
    }
}
