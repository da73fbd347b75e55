//! What each command does.

use chrono::{DateTime, FixedOffset, Utc};
use release_core::{
    Spec,
    artifact::{Ci, Repository, Shuttle, Stage, StageData, zero_time},
};
use release_terminal::{CliError, Exit, Line, Printer};

use crate::{
    cli::{Cli, Command, Git, Init, Plan},
    push::push,
    spec_file::SpecFile,
};

pub(crate) fn run(cli: Cli, printer: &Printer) -> Result<Exit, CliError> {
    let file = SpecFile::new(&cli.location);
    let line = match cli.command {
        Command::Init(args) => init(&file, *args)?,
        Command::Add(stage) => add(&file, stage.into())?,
        Command::End => {
            let spec = file.update(|spec| spec.ci.end = now())?;
            Line::new().plain(format!("Artifact {} has ended", spec.id))
        }
        Command::Push(args) => push(&cli.location, &file, args, printer)?,
        Command::Successful => Line::new().good("The build was successful"),
        Command::Failure(args) => Line::new().bad("The build failed:").plain(' ').plain(args.error_message),
        Command::Version => Line::from(concat!("artifact ", env!("CARGO_PKG_VERSION"))),
    };
    printer.line(line);
    Ok(Exit::Ok)
}

fn init(file: &SpecFile, args: Init) -> Result<Line, CliError> {
    let line = Line::from(format!("Artifact {} of service {} started", args.artifact_id, args.service));
    let spec = Spec {
        id: args.artifact_id.to_string(),
        service: args.service.to_string(),
        namespace: args.namespace.map(|namespace| namespace.to_string()).unwrap_or_default(),
        squad: args.squad,
        application: application(args.git),
        ci: Ci { job_url: args.ci_job_url, start: now(), end: zero_time() },
        shuttle: Shuttle { plan: plan(args.plan), shuttle_version: String::new() },
        stages: Vec::new(),
    };
    file.create(&spec)?;
    Ok(line)
}

fn application(git: Git) -> Repository {
    Repository {
        branch: git.git_branch,
        sha: git.git_sha,
        author_name: git.git_author_name,
        author_email: git.git_author_email,
        committer_name: git.git_committer_name,
        committer_email: git.git_committer_email,
        message: git.git_message,
        name: git.name,
        url: git.url,
        provider: git.provider,
    }
}

fn plan(plan: Plan) -> Repository {
    Repository {
        branch: plan.shuttle_plan_branch,
        sha: plan.shuttle_plan_sha,
        message: plan.shuttle_plan_message,
        url: plan.shuttle_plan_url,
        ..Repository::default()
    }
}

fn add(file: &SpecFile, data: StageData) -> Result<Line, CliError> {
    let stage = Stage::new(data).expect("flags only make stages of known kinds");
    let name = stage.name.clone();
    let spec = file.update(|spec| spec.set_stage(stage))?;
    Ok(Line::from(format!("Stage '{name}' added to artifact {}", spec.id)))
}

fn now() -> DateTime<FixedOffset> {
    Utc::now().fixed_offset()
}
