use std::{fmt, str::FromStr};

/// The name of a bucket that a queue can be named after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketName(String);

/// Why a text cannot be the bucket. Reads on after the name of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 3 to {} characters of a-z, 0-9 and '-', with a letter or digit at both ends: the queue of its \
     notifications is named after it",
    BucketName::MAX_BYTES
)]
pub struct BucketNameError;

const QUEUE_SUFFIX: &str = "-s3-bucket-notifications";

impl BucketName {
    /// A queue's name may have 80 characters.
    const MAX_BYTES: usize = 80 - QUEUE_SUFFIX.len();

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The queue that receives this bucket's notifications.
    pub fn queue(&self) -> String {
        format!("{self}{QUEUE_SUFFIX}")
    }
}

impl FromStr for BucketName {
    type Err = BucketNameError;

    fn from_str(text: &str) -> Result<Self, BucketNameError> {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (3..=Self::MAX_BYTES).contains(&text.len());
        if !fits || !text.chars().all(known) || text.starts_with('-') || text.ends_with('-') {
            return Err(BucketNameError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_a_name_that_its_queue_can_have_too() {
        let bucket: BucketName = "acme-artifacts".parse().unwrap();
        assert_eq!(bucket.queue(), "acme-artifacts-s3-bucket-notifications");
        assert_eq!("x".repeat(56).parse::<BucketName>().unwrap().queue().len(), 80);
        for bad in ["", "ab", "Acme", "a.b.c", "-acme", "acme-", "a_b", "a/b", &"x".repeat(57)] {
            assert_eq!(bad.parse::<BucketName>(), Err(BucketNameError), "{bad}");
        }
    }
}
