//! One published set of keys (RFC 7517), and what of it may verify a token.

use std::{collections::HashMap, sync::Arc};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// The most keys of one provider that are looked at; providers have two or three.
const MAX_KEYS: usize = 100;

/// A public key, and the algorithms that its signatures may be made with.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) key: DecodingKey,
}

/// The usable keys of one provider, by their id.
pub(crate) type KeySet = HashMap<String, Arc<Key>>;

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

/// Reads a published set. Keys that are of no use here are left out: another kind or purpose, without
/// an id, or symmetric ones, which would let everybody sign.
pub(crate) fn read_set(json: &[u8]) -> Result<KeySet, serde_json::Error> {
    let Published { keys } = serde_json::from_slice(json)?;
    let mut set = KeySet::new();
    for key in keys.into_iter().take(MAX_KEYS) {
        let Ok(jwk) = serde_json::from_value::<Jwk>(key) else { continue };
        if let (Some(id), Some(key)) = (&jwk.common.key_id, usable(&jwk)) {
            set.entry(id.clone()).or_insert_with(|| Arc::new(key));
        }
    }
    Ok(set)
}

fn usable(jwk: &Jwk) -> Option<Key> {
    let algorithms = algorithms(jwk);
    if algorithms.is_empty() || !is_for_signatures(jwk) {
        return None;
    }
    Some(Key { algorithms, key: DecodingKey::from_jwk(jwk).ok()? })
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let purpose = jwk.common.public_key_use.as_ref();
    let operations = jwk.common.key_operations.as_ref();
    purpose.is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
        && operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

/// Those of the key's type; only the one that the key names, if it names one. The type alone decides
/// what a token may claim, so nobody can have a public key taken for the secret of an HMAC.
fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let of_type: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDSA],
        _ => &[],
    };
    let is_named = |algorithm: Algorithm| {
        jwk.common
            .key_algorithm
            .is_none_or(|named| Algorithm::try_from(named).is_ok_and(|named| named == algorithm))
    };
    of_type.iter().copied().filter(|algorithm| is_named(*algorithm)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(keys: &Value) -> KeySet {
        read_set(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_type_of_a_key_says_what_may_be_signed_with_it() {
        use Algorithm::{ES256, ES384, EdDSA, PS256, RS256};
        let rsa = |more: Value| with(json!({"kty": "RSA", "n": "u_8", "e": "AQAB"}), more);
        let ec = |curve: &str| json!({"kty": "EC", "crv": curve, "x": "AQ", "y": "AQ"});
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "AQ"});
        for (key, expected) in [
            (rsa(json!({})), Some((6, RS256))),
            (rsa(json!({"alg": "RS256", "use": "sig"})), Some((1, RS256))),
            (rsa(json!({"alg": "PS256", "key_ops": ["verify"]})), Some((1, PS256))),
            (ec("P-256"), Some((1, ES256))),
            (ec("P-384"), Some((1, ES384))),
            (ed.clone(), Some((1, EdDSA))),
            // Another purpose.
            (rsa(json!({"use": "enc"})), None),
            (rsa(json!({"key_ops": ["sign"]})), None),
            (rsa(json!({"alg": "RSA-OAEP"})), None),
            // Algorithms that do not belong to the type.
            (rsa(json!({"alg": "HS256"})), None),
            (rsa(json!({"alg": "ES256"})), None),
            (with(ec("P-256"), json!({"alg": "ES384"})), None),
            (with(ed, json!({"alg": "none"})), None),
            // Types that are not taken.
            (json!({"kty": "oct", "k": "c2VjcmV0"}), None),
            (ec("P-521"), None),
            (json!({"kty": "new", "x": 1}), None),
        ] {
            let set = read(&json!([with(key.clone(), json!({"kid": "a"}))]));
            let found = set.get("a").map(|key| (key.algorithms.len(), key.algorithms[0]));
            assert_eq!(found, expected, "{key}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_does_not_spoil_the_others() {
        let good = json!({"kty": "OKP", "crv": "Ed25519", "x": "AQ", "kid": "good"});
        let no_id = json!({"kty": "OKP", "crv": "Ed25519", "x": "AQ"});
        let set = read(&json!([null, 7, {}, {"kty": "RSA", "kid": "half"}, no_id, good]));
        assert_eq!(set.keys().collect::<Vec<_>>(), ["good"]);
    }

    #[test]
    fn the_number_of_keys_is_limited_and_the_first_of_an_id_counts() {
        let key = |id: usize| json!({"kty": "OKP", "crv": "Ed25519", "x": "AQ", "kid": id.to_string()});
        assert_eq!(read(&(0..200).map(key).collect()).len(), MAX_KEYS);
        let other = json!({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "kid": "0"});
        assert_eq!(read(&json!([key(0), other]))["0"].algorithms, [Algorithm::EdDSA]);
    }

    #[test]
    fn what_is_no_set_is_an_error() {
        for text in ["", "null", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
            assert!(read_set(text.as_bytes()).is_err(), "{text}");
        }
    }

    fn with(mut object: Value, more: Value) -> Value {
        if let Value::Object(more) = more {
            object.as_object_mut().unwrap().extend(more);
        }
        object
    }
}
