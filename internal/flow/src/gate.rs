//! May this artifact go to this environment now? Asked with the files of one commit.

use release_core::{
    Name,
    gate::{Candidate, Rules, refusals},
    policy::GlobalRestrictions,
};
use release_git::{GitError, Tree};

use crate::policies;

/// Every reason why it may not, in one sentence; `None` when it may.
pub(crate) fn refusal(
    tree: &Tree<'_>,
    global: &GlobalRestrictions,
    service: &Name,
    candidate: Candidate<'_>,
) -> Result<Option<String>, GitError> {
    let policies = policies::read(tree, service)?;
    let reasons = refusals(candidate, Rules { global, policies: policies.as_ref() });
    Ok((!reasons.is_empty()).then(|| reasons.join("; ")))
}
