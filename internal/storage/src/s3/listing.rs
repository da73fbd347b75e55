//! What is in the bucket, page by page.

use std::{cmp::Reverse, collections::BinaryHeap};

use aws_sdk_s3::{
    operation::list_objects_v2::{ListObjectsV2Output, builders::ListObjectsV2FluentBuilder},
    types::Object,
};
use release_core::Name;

use super::{Inner, failed, object::ETag, trouble::Trouble};
use crate::StorageError;

/// How many artifacts of a listing are held in memory at once.
pub(super) const MAX_LISTED: usize = 10_000;
/// Names serve suggestions; so many pages of a thousand are enough for that.
const MAX_PAGES: usize = 100;

/// Sorts by age.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    /// Seconds since 1970.
    pub(super) modified: i64,
    pub(super) id: Name,
    pub(super) etag: ETag,
}

/// The newest artifacts whose ids begin like this and that are older than `before`, newest first;
/// at most [`MAX_LISTED`].
pub(super) async fn newest(
    inner: &Inner,
    service: &Name,
    prefix: &str,
    before: Option<&Listed>,
) -> Result<Vec<Listed>, StorageError> {
    let mut newest = BinaryHeap::new();
    let list = inner.list().prefix(format!("{service}/{prefix}"));
    each_page(list, usize::MAX, |page| {
        let listed = page.contents().iter().filter_map(|object| listed(service, object));
        for listed in listed.filter(|listed| before.is_none_or(|before| listed < before)) {
            newest.push(Reverse(listed));
            if newest.len() > MAX_LISTED {
                newest.pop();
            }
        }
    })
    .await?;
    Ok(newest.into_sorted_vec().into_iter().map(|Reverse(listed)| listed).collect())
}

pub(super) async fn ids(inner: &Inner, service: &Name) -> Result<Vec<Name>, StorageError> {
    let mut ids = Vec::new();
    each_page(inner.list().prefix(format!("{service}/")), MAX_PAGES, |page| {
        ids.extend(page.contents().iter().filter_map(|object| id(service, object)));
    })
    .await?;
    Ok(ids)
}

pub(super) async fn services(inner: &Inner) -> Result<Vec<Name>, StorageError> {
    let mut services = Vec::new();
    each_page(inner.list().delimiter("/"), MAX_PAGES, |page| {
        let prefixes = page.common_prefixes().iter().filter_map(|prefix| prefix.prefix());
        services.extend(prefixes.filter_map(|prefix| Name::new(prefix.strip_suffix('/')?).ok()));
    })
    .await?;
    Ok(services)
}

impl Inner {
    fn list(&self) -> ListObjectsV2FluentBuilder {
        self.s3.list_objects_v2().bucket(self.bucket.as_str())
    }
}

async fn each_page(
    list: ListObjectsV2FluentBuilder,
    max_pages: usize,
    mut read: impl FnMut(&ListObjectsV2Output),
) -> Result<(), StorageError> {
    let mut pages = list.into_paginator().send();
    for _ in 0..max_pages {
        let Some(page) = pages.next().await else { break };
        read(&page.map_err(|error| failed("list artifacts", Trouble::of(&error)))?);
    }
    Ok(())
}

/// `None` for what is no artifact, such as a key of three parts.
fn id(service: &Name, object: &Object) -> Option<Name> {
    let id = object.key()?.strip_prefix(service.as_str())?.strip_prefix('/')?;
    Name::new(id).ok()
}

fn listed(service: &Name, object: &Object) -> Option<Listed> {
    Some(Listed {
        modified: object.last_modified()?.secs(),
        id: id(service, object)?,
        etag: object.e_tag().unwrap_or_default().into(),
    })
}
