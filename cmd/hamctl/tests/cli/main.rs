//! hamctl as a process, against canned answers.

mod completion;
mod errors;
mod login;
mod login_trouble;
mod metrics;
mod output;
mod policies;
mod program;
mod reading;
mod releasing;
mod server;
mod waiting;

/// A described release, as the server sends it.
fn release(index: usize, artifact: &str) -> String {
    format!(
        r#"{{"releaseIndex":{index},"artifact":{{"id":"{artifact}","service":"svc","namespace":"team",
        "application":{{"authorName":"Jane Doe","authorEmail":"jane@example.com","message":"Useful bits\n\nAnd more",
        "url":"https://git.example.com/1"}},"ci":{{"start":"0001-01-01T00:00:00Z","end":"2021-06-23T08:42:22Z"}},
        "shuttle":{{"plan":{{}}}}}},"releasedAt":"2021-06-24T08:42:22Z","releasedByEmail":"john@example.com",
        "releasedByName":"John Roe","intent":{{"type":"Promote","releaseBranch":{{}},"promote":{{"fromEnvironment":"dev"}},"rollback":{{}}}}}}"#
    )
}

fn releases(environment: &str, artifacts: &[&str]) -> String {
    let releases: Vec<_> = artifacts.iter().enumerate().map(|(index, id)| release(index, id)).collect();
    format!(r#"{{"service":"svc","environment":"{environment}","releases":[{}]}}"#, releases.join(","))
}

fn artifacts(ids: &[&str]) -> String {
    let artifact = |id: &&str| {
        format!(
            r#"{{"id":"{id}","service":"svc","application":{{"branch":"{}","message":"Useful bits"}},
            "ci":{{"end":"2021-06-23T08:42:22Z","start":"2021-06-23T08:40:00Z"}},"shuttle":{{"plan":{{}}}}}}"#,
            id.split('-').next().unwrap()
        )
    };
    let artifacts: Vec<_> = ids.iter().map(artifact).collect();
    format!(r#"{{"service":"svc","artifacts":[{}]}}"#, artifacts.join(","))
}
