//! Policies: reading them, and changing them through the writer of the config repository.

use std::sync::{Arc, Mutex};

use release_api::{AutoReleasePolicy, BranchRestrictionPolicy, PoliciesResponse};
use release_core::{
    Name, Person,
    policy::{
        self, ApplyError, AutoRelease, BranchRegex, BranchRestriction, FileError, GlobalRestrictions,
        MAX_FILE_BYTES, Policies,
    },
};
use release_git::{Change, Edit, GitError, Operation, Plan, PlanError, Tree, WriteError};

use crate::{Flow, FlowError};

/// The policies of a service; none where it has no file. A file that cannot be used is the inner error.
pub(crate) fn read(tree: &Tree<'_>, service: &Name) -> Result<Result<Policies, FileError>, GitError> {
    Ok(match tree.file(&policy::file_path(service))? {
        Some(contents) => Policies::from_file(service, &contents),
        None => Ok(Policies::none(service)),
    })
}

impl Flow {
    /// What counts for a service, those for all services included. Having none is an error.
    pub async fn policies(&self, service: Name) -> Result<PoliciesResponse, FlowError> {
        let (of_service, global) = (service.clone(), self.backends.restrictions.clone());
        let policies = self.read(move |snapshot| Ok(read(&snapshot.tree(), &of_service)??)).await?;
        if policies.is_empty() && global.is_empty() {
            return Err(no_policies(&service));
        }
        Ok(response(&service, &policies, &global))
    }

    /// New artifacts of the branch will be released to the environment. Returns when the remote has it.
    pub async fn apply_auto_release(
        &self,
        service: Name,
        branch: String,
        environment: Name,
        actor: Person,
    ) -> Result<AutoRelease, FlowError> {
        let message = policy::apply_message(&service, AutoRelease::KIND, &environment);
        let global = self.backends.restrictions.clone();
        let edit = move |policies: &mut Policies| policies.apply_auto_release(&branch, &environment, &global);
        self.change_policies(service, actor, message, edit).await
    }

    /// Only artifacts of branches that match may go to the environment. Returns when the remote has it.
    pub async fn apply_branch_restriction(
        &self,
        service: Name,
        regex: BranchRegex,
        environment: Name,
        actor: Person,
    ) -> Result<BranchRestriction, FlowError> {
        let message = policy::apply_message(&service, BranchRestriction::KIND, &environment);
        let global = self.backends.restrictions.clone();
        let edit =
            move |policies: &mut Policies| policies.apply_branch_restriction(&regex, &environment, &global);
        self.change_policies(service, actor, message, edit).await
    }

    /// How many of the policies there were; an error when there was none of them. Returns when the
    /// remote has it.
    pub async fn delete_policies(
        &self,
        service: Name,
        ids: Vec<String>,
        actor: Person,
    ) -> Result<usize, FlowError> {
        let message = policy::delete_message(&service);
        let edit = move |policies: &mut Policies| {
            let count = policies.delete(&ids);
            let left: Vec<String> = policies.ids().map(str::to_owned).collect();
            Ok((count, left))
        };
        let (count, left) = self.change_policies(service.clone(), actor, message, edit).await?;
        match (count, left.as_slice()) {
            (0, []) => Err(no_policies(&service)),
            (0, left) => Err(FlowError::NotFound(format!(
                "service '{service}' has none of these policies; it has '{}'",
                left.join("', '")
            ))),
            (count, _) => Ok(count),
        }
    }

    /// Makes one commit of what `edit` changes, or none when it changes nothing. `edit` may run
    /// several times, on newer policies: nobody else's change is lost.
    async fn change_policies<T: Send + 'static>(
        &self,
        service: Name,
        author: Person,
        message: String,
        edit: impl Fn(&mut Policies) -> Result<T, ApplyError> + Send + 'static,
    ) -> Result<T, FlowError> {
        // What is decided must not rest on a copy that others have left behind.
        self.backends.writer.fetch().await.map_err(not_written)?;
        let answer = Arc::new(Mutex::new(None));
        let last_answer = answer.clone();
        let plan = move |tree: &Tree<'_>| {
            let before = read(tree, &service)?.map_err(|error| PlanError::Refused(error.to_string()))?;
            let mut after = before.clone();
            let value = edit(&mut after).map_err(|error| PlanError::Refused(error.to_string()))?;
            *last_answer.lock().expect("no panic while held") = Some(value);
            if after == before {
                return Ok(Plan::Nothing);
            }
            let operations = vec![operation(&service, &after)?];
            Ok(Plan::Commit(Edit { message: message.clone(), author: author.clone(), operations }))
        };
        let change = Change { release_id: None, plan: Box::new(plan) };
        self.backends.writer.write(change).await.map_err(not_written)?;
        let answer = answer.lock().expect("no panic while held").take();
        Ok(answer.expect("what was written was planned before"))
    }
}

/// A service without policies has no file.
fn operation(service: &Name, policies: &Policies) -> Result<Operation, PlanError> {
    let path = policy::file_path(service);
    if policies.is_empty() {
        return Ok(Operation::Remove { path });
    }
    let contents = policies.to_file();
    if contents.len() > MAX_FILE_BYTES {
        return Err(PlanError::Refused(format!(
            "the policies of service '{service}' would take more than {MAX_FILE_BYTES} bytes; delete some first"
        )));
    }
    Ok(Operation::PutFile { path, contents: contents.into(), executable: false })
}

fn not_written(error: WriteError) -> FlowError {
    match error {
        WriteError::Refused(reason) => FlowError::Invalid(reason),
        error => FlowError::Unavailable(format!(
            "the policies cannot be written now, try again in a moment: {error}"
        )),
    }
}

fn no_policies(service: &Name) -> FlowError {
    FlowError::NotFound(format!("service '{service}' has no policies"))
}

fn response(service: &Name, policies: &Policies, global: &GlobalRestrictions) -> PoliciesResponse {
    let auto_releases = policies.auto_releases().iter().map(|policy| AutoReleasePolicy {
        id: policy.id.clone(),
        branch: policy.branch.clone(),
        environment: policy.environment.to_string(),
    });
    let for_all = global.iter().map(|(environment, regex)| BranchRestrictionPolicy {
        id: String::new(),
        branch_regex: regex.as_str().to_owned(),
        environment: environment.to_string(),
    });
    let own =
        policies.branch_restrictions().iter().filter(|policy| global.get(&policy.environment).is_none());
    let own = own.map(|policy| BranchRestrictionPolicy {
        id: policy.id.clone(),
        branch_regex: policy.branch_regex.clone(),
        environment: policy.environment.to_string(),
    });
    PoliciesResponse {
        service: service.to_string(),
        auto_releases: auto_releases.collect(),
        branch_restrictions: for_all.chain(own).collect(),
    }
}

impl From<FileError> for FlowError {
    fn from(error: FileError) -> Self {
        Self::Invalid(error.to_string())
    }
}
