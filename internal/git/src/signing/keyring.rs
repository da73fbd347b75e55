//! Finds the key that signs in files of `OpenPGP` keys, by the rules of gpg.

use std::{cmp::Reverse, path::PathBuf};

use pgp::{
    composed::{PublicOrSecret, SignedSecretKey, SignedSecretSubKey},
    packet::{Signature, SignatureType, SubpacketData},
    types::{KeyDetails, Tag},
};

use super::{
    SigningError,
    openpgp::{Key, Secret},
    read,
};

/// The key with this id, fingerprint or e-mail address. Prefers the newest subkey that may sign at `time`.
pub(super) fn find(wanted: &str, files: &[PathBuf], time: i64) -> Result<Key, SigningError> {
    for path in files {
        let wrong = || SigningError::WrongKind { path: path.clone(), wanted: "OpenPGP private key" };
        let bytes = read(path)?;
        let (keys, _) = PublicOrSecret::from_reader_many(&bytes[..]).map_err(|_| wrong())?;
        for key in keys {
            let PublicOrSecret::Secret(key) = key.map_err(|_| wrong())? else { return Err(wrong()) };
            if is_called(&key, wanted) {
                return choose(&key, time);
            }
        }
    }
    Err(SigningError::Missing { key: wanted.to_owned() })
}

/// As gpg looks for keys: the end of a fingerprint, an address, or a part of a user id.
fn is_called(key: &SignedSecretKey, wanted: &str) -> bool {
    const MIN_ID_DIGITS: usize = 8;
    let wanted = wanted.trim_end_matches('!').to_lowercase();
    let digits = wanted.strip_prefix("0x").unwrap_or(&wanted);
    let is_id = digits.len() >= MIN_ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut fingerprints = vec![key.primary_key.fingerprint()];
    fingerprints.extend(key.secret_subkeys.iter().map(|subkey| subkey.key.fingerprint()));
    let mut users = key.details.users.iter().filter_map(|user| user.id.as_str());
    (is_id && fingerprints.iter().any(|fingerprint| fingerprint.to_string().ends_with(digits)))
        || (!wanted.is_empty() && users.any(|user| user.to_lowercase().contains(&wanted)))
}

fn choose(key: &SignedSecretKey, time: i64) -> Result<Key, SigningError> {
    let name = key.primary_key.fingerprint().to_string();
    if !key.details.revocation_signatures.is_empty() {
        return Err(SigningError::Revoked(name));
    }
    let binding = self_signature(key).ok_or_else(|| SigningError::CannotSign(name.clone()))?;
    let expires = expiry(&key.primary_key, binding);
    let mut problem = SigningError::CannotSign(name);
    for candidate in candidates(key, binding, expires) {
        match candidate.and_then(|key| key.check(time).map(|()| key)) {
            Ok(key) => return Ok(key),
            Err(found) => problem = found,
        }
    }
    Err(problem)
}

/// All that are made for signing, the best one last looked at first: subkeys, then the primary key.
fn candidates<'a>(
    key: &'a SignedSecretKey,
    binding: &'a Signature,
    expires: Option<i64>,
) -> impl Iterator<Item = Result<Key, SigningError>> + 'a {
    let mut subkeys: Vec<_> = key.secret_subkeys.iter().collect();
    subkeys.sort_by_key(|subkey| Reverse(subkey.key.created_at()));
    let subkeys = subkeys.into_iter().filter_map(move |subkey| {
        let binding = subkey_binding(key, subkey).filter(|binding| may_sign(binding))?;
        Some(subkey_candidate(subkey, binding, expires))
    });
    let primary = may_sign(binding).then(|| Key::new(Secret::Primary(key.primary_key.clone()), expires));
    subkeys.chain(primary)
}

fn subkey_candidate(
    subkey: &SignedSecretSubKey,
    binding: &Signature,
    primary_expires: Option<i64>,
) -> Result<Key, SigningError> {
    if subkey.signatures.iter().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation)) {
        return Err(SigningError::Revoked(subkey.key.fingerprint().to_string()));
    }
    let expires = [primary_expires, expiry(&subkey.key, binding)].into_iter().flatten().min();
    Key::new(Secret::Sub(subkey.key.clone()), expires)
}

/// The newest one of the key itself; it says what the key is for and until when.
fn self_signature(key: &SignedSecretKey) -> Option<&Signature> {
    let public = key.primary_key.public_key();
    let of_users = key.details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|signature| {
            signature.is_certification()
                && signature.verify_certification(public, Tag::UserId, &user.id).is_ok()
        })
    });
    let direct =
        key.details.direct_signatures.iter().filter(|signature| signature.verify_key(public).is_ok());
    of_users.chain(direct).max_by_key(|signature| signature.created())
}

fn subkey_binding<'a>(key: &SignedSecretKey, subkey: &'a SignedSecretSubKey) -> Option<&'a Signature> {
    let binds = |signature: &&Signature| {
        signature.typ() == Some(SignatureType::SubkeyBinding)
            && signature.verify_subkey_binding(key.primary_key.public_key(), subkey.key.public_key()).is_ok()
    };
    subkey.signatures.iter().filter(binds).max_by_key(|signature| signature.created())
}

/// Very old keys don't say what they are for: everything.
fn may_sign(binding: &Signature) -> bool {
    let says = |config: &pgp::packet::SignatureConfig| {
        config.hashed_subpackets().any(|subpacket| matches!(subpacket.data, SubpacketData::KeyFlags(_)))
    };
    binding.key_flags().sign() || !binding.config().is_some_and(says)
}

/// Seconds since 1970; `None` for never.
fn expiry(key: &impl KeyDetails, binding: &Signature) -> Option<i64> {
    let lifetime = binding.key_expiration_time()?.as_secs();
    (lifetime > 0).then(|| i64::from(key.created_at().as_secs()) + i64::from(lifetime))
}
