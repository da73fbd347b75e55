//! Signatures with an `OpenPGP` key, as gpg makes them.

use std::fmt;

use pgp::{
    composed::{ArmorOptions, DetachedSignature},
    crypto::{hash::HashAlgorithm, public_key::PublicKeyAlgorithm, rsa::SecretKey as RsaSecretKey},
    errors::{Error, Result as PgpResult},
    packet::{SecretKey, SecretSubkey, SignatureConfig, SignatureType, Subpacket, SubpacketData},
    types::{
        Fingerprint, KeyDetails, KeyId, KeyVersion, Mpi, Password, PlainSecretParams, PublicParams,
        RsaPublicParams, SecretParams, SignatureBytes, SigningKey, Timestamp,
    },
};
use rsa::traits::PublicKeyParts;

use super::{
    SigningError,
    rsa_key::{Numbers, RsaKey},
};

/// A primary key or a subkey, which signs.
pub(super) struct Key {
    secret: Secret,
    rsa: Option<RsaKey>,
    /// Seconds since 1970.
    expires: Option<i64>,
}

pub(super) enum Secret {
    Primary(SecretKey),
    Sub(SecretSubkey),
}

impl Secret {
    fn key(&self) -> &dyn SigningKey {
        match self {
            Self::Primary(key) => key,
            Self::Sub(key) => key,
        }
    }

    fn params(&self) -> &SecretParams {
        match self {
            Self::Primary(key) => key.secret_params(),
            Self::Sub(key) => key.secret_params(),
        }
    }
}

impl Key {
    pub(super) fn new(secret: Secret, expires: Option<i64>) -> Result<Self, SigningError> {
        let name = secret.key().fingerprint().to_string();
        // Version 6 is not what gpg reads.
        if secret.key().version() != KeyVersion::V4 {
            return Err(SigningError::CannotSign(name));
        }
        let rsa = match (secret.key().public_params(), secret.params()) {
            (_, SecretParams::Encrypted(_)) => return Err(SigningError::Passphrase(name)),
            (PublicParams::RSA(public), SecretParams::Plain(PlainSecretParams::RSA(private))) => {
                Some(rsa_key(public, private).ok_or(SigningError::CannotSign(name))?)
            }
            _ => None,
        };
        Ok(Self { secret, rsa, expires })
    }

    pub(super) fn check(&self, time: i64) -> Result<(), SigningError> {
        match self.expires {
            Some(expires) if expires <= time => Err(SigningError::Expired(self.name())),
            _ => Ok(()),
        }
    }

    pub(super) fn sign(&self, data: &[u8], time: i64) -> Result<String, SigningError> {
        self.armored_signature(data, time).map_err(|_| SigningError::Failed(self.name()))
    }

    fn armored_signature(&self, data: &[u8], time: i64) -> PgpResult<String> {
        let time = Timestamp::from_secs(u32::try_from(time).unwrap_or_default());
        let mut config = SignatureConfig::v4(SignatureType::Binary, self.algorithm(), self.hash_alg());
        config.hashed_subpackets = vec![
            Subpacket::regular(SubpacketData::IssuerFingerprint(self.fingerprint()))?,
            Subpacket::regular(SubpacketData::SignatureCreationTime(time))?,
        ];
        config.unhashed_subpackets =
            vec![Subpacket::regular(SubpacketData::IssuerKeyId(self.legacy_key_id()))?];
        let signature = config.sign(self, &Password::empty(), data)?;
        DetachedSignature::new(signature).to_armored_string(ArmorOptions::default())
    }

    fn name(&self) -> String {
        self.fingerprint().to_string()
    }
}

fn rsa_key(public: &RsaPublicParams, private: &RsaSecretKey) -> Option<RsaKey> {
    let (private_exponent, first, second, _) = private.to_bytes();
    RsaKey::new(&Numbers {
        modulus: &public.key.n().to_bytes_be(),
        public_exponent: &public.key.e().to_bytes_be(),
        private_exponent: &private_exponent,
        primes: [&first, &second],
    })
}

/// Without the secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.fingerprint()).finish()
    }
}

impl SigningKey for Key {
    fn sign(&self, password: &Password, hash: HashAlgorithm, digest: &[u8]) -> PgpResult<SignatureBytes> {
        let Some(rsa) = &self.rsa else { return self.secret.key().sign(password, hash, digest) };
        let signature = rsa.sign_digest(digest).ok_or(Error::InvalidKeyLength)?;
        Ok(SignatureBytes::Mpis(vec![Mpi::from_slice(&signature)]))
    }

    fn hash_alg(&self) -> HashAlgorithm {
        if self.rsa.is_some() { HashAlgorithm::Sha512 } else { self.secret.key().hash_alg() }
    }
}

impl KeyDetails for Key {
    fn version(&self) -> KeyVersion {
        self.secret.key().version()
    }

    fn legacy_key_id(&self) -> KeyId {
        self.secret.key().legacy_key_id()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.secret.key().fingerprint()
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        self.secret.key().algorithm()
    }

    fn created_at(&self) -> Timestamp {
        self.secret.key().created_at()
    }

    fn legacy_v3_expiration_days(&self) -> Option<u16> {
        self.secret.key().legacy_v3_expiration_days()
    }

    fn public_params(&self) -> &PublicParams {
        self.secret.key().public_params()
    }
}
