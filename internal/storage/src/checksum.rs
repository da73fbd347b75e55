//! The MD5 that travels with an upload.

use std::fmt;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use md5::{Digest, Md5};

/// The MD5 of a zip. It finds transmission errors; what makes an upload
/// trustworthy is the signature of its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum([u8; 16]);

/// Reads on after the name of a field: "md5: must be …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the base64 of an MD5, 24 characters")]
pub struct ChecksumError;

impl Checksum {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Md5::digest(bytes).into())
    }

    pub(crate) fn of_hasher(hasher: Md5) -> Self {
        Self(hasher.finalize().into())
    }

    /// Reads the form of the header `Content-MD5`.
    pub fn from_base64(text: &str) -> Result<Self, ChecksumError> {
        Self::decode(&BASE64_STANDARD, text)
    }

    pub(crate) fn from_url_base64(text: &str) -> Result<Self, ChecksumError> {
        Self::decode(&BASE64_URL_SAFE_NO_PAD, text)
    }

    pub(crate) fn to_url_base64(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    fn decode(engine: &impl Engine, text: &str) -> Result<Self, ChecksumError> {
        let bytes = engine.decode(text).map_err(|_| ChecksumError)?;
        bytes.try_into().map(Self).map_err(|_| ChecksumError)
    }
}

/// The form of the header `Content-MD5`: standard base64.
impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let checksum = Checksum::of(b"abc");
        assert_eq!(checksum.to_string(), "kAFQmDzST7DWlj99KOF/cg==");
        assert_eq!(Checksum::from_base64(&checksum.to_string()), Ok(checksum));
        assert_eq!(Checksum::from_url_base64(&checksum.to_url_base64()), Ok(checksum));
        for bad in ["", "kAFQ", "not base64!", "900150983cd24fb0d6963f7d28e17f72"] {
            assert_eq!(Checksum::from_base64(bad), Err(ChecksumError), "{bad:?}");
        }
        assert_eq!(Checksum::from_base64(&"A".repeat(1 << 20)), Err(ChecksumError));
    }
}
