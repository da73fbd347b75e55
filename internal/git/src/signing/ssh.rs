//! Signatures with an ssh key, as `gpg.format = ssh` makes them.

use std::path::Path;

use ssh_key::{
    Algorithm, HashAlg, LineEnding, PrivateKey, Signature, SshSig,
    private::{KeypairData, RsaKeypair},
};

use super::{
    SigningError, read,
    rsa_key::{Numbers, RsaKey},
};

/// What a signature is for; git asks for this one.
const NAMESPACE: &str = "git";

/// No `Debug`: it is a secret.
pub(super) struct Key {
    path: String,
    private: PrivateKey,
    rsa: Option<RsaKey>,
}

impl Key {
    pub(super) fn read(path: &Path) -> Result<Self, SigningError> {
        let private = PrivateKey::from_openssh(read(path)?).map_err(|_| SigningError::WrongKind {
            path: path.to_owned(),
            wanted: "ssh private key in the format of OpenSSH",
        })?;
        let path = path.display().to_string();
        if private.is_encrypted() {
            return Err(SigningError::Passphrase(path));
        }
        let rsa = match private.key_data() {
            KeypairData::Rsa(pair) => {
                Some(rsa_key(pair).ok_or_else(|| SigningError::CannotSign(path.clone()))?)
            }
            KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) => None,
            _ => return Err(SigningError::CannotSign(path)),
        };
        Ok(Self { path, private, rsa })
    }

    pub(super) fn sign(&self, data: &[u8]) -> Result<String, SigningError> {
        let signature = match &self.rsa {
            Some(rsa) => sign_with_rsa(&self.private, rsa, data),
            None => self.private.sign(NAMESPACE, HashAlg::Sha512, data).ok(),
        };
        let armored = signature.and_then(|signature| signature.to_pem(LineEnding::LF).ok());
        armored.ok_or_else(|| SigningError::Failed(self.path.clone()))
    }
}

fn rsa_key(pair: &RsaKeypair) -> Option<RsaKey> {
    RsaKey::new(&Numbers {
        modulus: pair.public.n.as_positive_bytes()?,
        public_exponent: pair.public.e.as_positive_bytes()?,
        private_exponent: pair.private.d.as_positive_bytes()?,
        primes: [pair.private.p.as_positive_bytes()?, pair.private.q.as_positive_bytes()?],
    })
}

fn sign_with_rsa(key: &PrivateKey, rsa: &RsaKey, data: &[u8]) -> Option<SshSig> {
    let message = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, data).ok()?;
    let algorithm = Algorithm::Rsa { hash: Some(HashAlg::Sha512) };
    let signature = Signature::new(algorithm, rsa.sign(&message)?).ok()?;
    SshSig::new(key.public_key().key_data().clone(), NAMESPACE, HashAlg::Sha512, signature).ok()
}
