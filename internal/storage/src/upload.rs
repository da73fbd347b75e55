//! Upload URLs that only this server can have made.

use std::{fmt, io};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use release_core::Name;
use serde::Deserialize;
use sha2::Sha256;
use url::Url;

use crate::{ArchiveError, Checksum};

/// How long an upload URL is valid.
pub const UPLOAD_URL_LIFETIME: TimeDelta = TimeDelta::minutes(15);

pub(crate) const KEY_BYTES: usize = 32;

/// The query of an upload URL, as it came: nothing of it is trusted before the
/// signature was checked, so what is missing is simply empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct UploadQuery {
    expires: String,
    md5: String,
    signature: String,
}

/// Why an upload was refused. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the upload URL is not one of this server's or was changed; ask for a new one")]
    BadSignature,
    #[error("the upload URL has expired; ask for a new one")]
    Expired,
    #[error("the header Content-MD5 must be the checksum that the upload URL was made for, '{expected}'")]
    Md5Header { expected: Checksum },
    #[error("the upload has the checksum '{received}' but should have '{expected}'; send it again")]
    Md5Mismatch { expected: Checksum, received: Checksum },
    #[error("the upload is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the upload was cut off; send it again")]
    CutOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the artifact is refused: {0}")]
    BadArchive(ArchiveError),
    /// Our fault or the disk's; trying again may help.
    #[error("the artifact storage cannot take the upload now; try again in a moment")]
    Unavailable(#[source] io::Error),
}

/// Makes upload URLs and recognises them again.
pub(crate) struct Signer {
    base_url: Url,
    key: [u8; KEY_BYTES],
}

impl Signer {
    pub(crate) fn new(base_url: Url, key: [u8; KEY_BYTES]) -> Self {
        Self { base_url, key }
    }

    pub(crate) fn url(&self, service: &Name, artifact_id: &Name, md5: Checksum, now: DateTime<Utc>) -> Url {
        let expires = (now + UPLOAD_URL_LIFETIME).timestamp().to_string();
        let md5 = md5.to_url_base64();
        let signature = self.mac(service, artifact_id, &md5, &expires).finalize().into_bytes();
        let mut url = self.base_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1", "uploads", service.as_str(), artifact_id.as_str()]);
        }
        url.query_pairs_mut()
            .append_pair("expires", &expires)
            .append_pair("md5", &md5)
            .append_pair("signature", &BASE64_URL_SAFE_NO_PAD.encode(signature));
        url
    }

    /// The checksum that the URL was made for.
    pub(crate) fn verify(
        &self,
        service: &Name,
        artifact_id: &Name,
        query: &UploadQuery,
        now: DateTime<Utc>,
    ) -> Result<Checksum, UploadError> {
        let signature =
            BASE64_URL_SAFE_NO_PAD.decode(&query.signature).map_err(|_| UploadError::BadSignature)?;
        // Compares in constant time.
        self.mac(service, artifact_id, &query.md5, &query.expires)
            .verify_slice(&signature)
            .map_err(|_| UploadError::BadSignature)?;
        let expires: i64 = query.expires.parse().map_err(|_| UploadError::BadSignature)?;
        if now.timestamp() >= expires {
            return Err(UploadError::Expired);
        }
        Checksum::from_url_base64(&query.md5).map_err(|_| UploadError::BadSignature)
    }

    fn mac(&self, service: &Name, artifact_id: &Name, md5: &str, expires: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        for field in ["PUT", service.as_str(), artifact_id.as_str(), md5, expires] {
            // The length keeps "ab","c" and "a","bc" apart.
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        mac
    }
}

/// Without the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("base_url", &self.base_url.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new(Url::parse("https://releases.example.com/prefix/").unwrap(), [7; KEY_BYTES])
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn query(url: &Url) -> UploadQuery {
        let value = |key: &str| {
            url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned()).unwrap()
        };
        UploadQuery { expires: value("expires"), md5: value("md5"), signature: value("signature") }
    }

    #[test]
    fn a_url_keeps_the_path_of_its_base_and_escapes_names() {
        let url = signer().url(&name("a?b"), &name("ø#1"), Checksum::of(b""), DateTime::UNIX_EPOCH);
        assert_eq!(url.path(), "/prefix/api/v1/uploads/a%3Fb/%C3%B8%231");
    }

    #[test]
    fn a_url_is_good_for_its_fifteen_minutes() {
        let md5 = Checksum::of(b"zip");
        let start = DateTime::UNIX_EPOCH;
        let query = query(&signer().url(&name("svc"), &name("id"), md5, start));
        let verify = |now| signer().verify(&name("svc"), &name("id"), &query, now);
        assert_eq!(verify(start).unwrap(), md5);
        assert_eq!(verify(start + TimeDelta::seconds(15 * 60 - 1)).unwrap(), md5);
        assert!(matches!(verify(start + TimeDelta::minutes(15)), Err(UploadError::Expired)));
    }

    #[test]
    fn whatever_is_changed_breaks_the_signature() {
        let good = query(&signer().url(&name("svc"), &name("id"), Checksum::of(b""), DateTime::UNIX_EPOCH));
        let later = UploadQuery { expires: "99999999999".to_owned(), ..good.clone() };
        let other_md5 = UploadQuery { md5: Checksum::of(b"x").to_url_base64(), ..good.clone() };
        let unsigned = UploadQuery { signature: String::new(), ..good.clone() };
        let cases = [
            ("svc", "id", &later),
            ("svc", "id", &other_md5),
            ("svc", "id", &unsigned),
            ("svc", "id", &UploadQuery::default()),
            ("svc", "other", &good),
            ("other", "id", &good),
            ("svci", "d", &good),
        ];
        for (service, id, query) in cases {
            let result = signer().verify(&name(service), &name(id), query, DateTime::UNIX_EPOCH);
            assert!(matches!(result, Err(UploadError::BadSignature)), "{service} {id} {query:?}");
        }
        let other_key = Signer::new(signer().base_url, [8; KEY_BYTES]);
        let result = other_key.verify(&name("svc"), &name("id"), &good, DateTime::UNIX_EPOCH);
        assert!(matches!(result, Err(UploadError::BadSignature)));
    }

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", signer()).contains('7'));
    }
}
