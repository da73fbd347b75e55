//! What each command does.

use chrono::{DateTime, FixedOffset, Utc};
use clap::CommandFactory as _;
use release_core::{
    Spec,
    artifact::{Ci, Repository, Shuttle, Stage, StageData, zero_time},
};
use release_notify::People;
use release_terminal::{CliError, Exit, Line, Printer};

use crate::{
    build_message::{Step, tell},
    cli::{Cli, Command, Git, Init, Plan, SlackArgs},
    push::push,
    spec_file::SpecFile,
};

pub(crate) fn run(cli: Cli, printer: &Printer) -> Result<Exit, CliError> {
    let Cli { location, slack, command } = cli;
    let file = SpecFile::new(&location);
    let (line, step) = match command {
        Command::Init(args) => (init(&file, *args, &slack, printer)?, Some(Step::Started)),
        Command::Add(stage) => (add(&file, stage.into())?, Some(Step::StageAdded)),
        Command::End => {
            let spec = file.update(|spec| spec.ci.end = now())?;
            (Line::new().plain(format!("Artifact {} has ended", spec.id)), None)
        }
        Command::Push(args) => (push(&location, &file, args, printer)?, Some(Step::Pushed)),
        Command::Successful => (Line::new().good("The build was successful"), Some(Step::Successful)),
        Command::Failure(args) => {
            let line = Line::new().bad("The build failed:").plain(' ').plain(&args.error_message);
            (line, Some(Step::Failed(args.error_message)))
        }
        Command::Manual(args) => return args.run(Cli::command()),
        Command::Version => (Line::from(concat!("artifact ", env!("CARGO_PKG_VERSION"))), None),
    };
    printer.line(line);
    if let Some(step) = step {
        tell(&slack, &location, step, printer);
    }
    Ok(Exit::Ok)
}

fn init(file: &SpecFile, args: Init, slack: &SlackArgs, printer: &Printer) -> Result<Line, CliError> {
    let line = Line::from(format!("Artifact {} of service {} started", args.artifact_id, args.service));
    let people =
        People { email_suffix: slack.email_suffix.clone(), mappings: args.user_mappings.unwrap_or_default() };
    let spec = Spec {
        id: args.artifact_id.to_string(),
        service: args.service.to_string(),
        namespace: args.namespace.map(|namespace| namespace.to_string()).unwrap_or_default(),
        squad: args.squad,
        application: with_company_emails(application(args.git), &people, printer),
        ci: Ci { job_url: args.ci_job_url, start: now(), end: zero_time() },
        shuttle: Shuttle { plan: plan(args.plan), shuttle_version: String::new() },
        stages: Vec::new(),
    };
    file.create(&spec)?;
    Ok(line)
}

/// The addresses by which people are found in Slack, here and by the server.
fn with_company_emails(mut application: Repository, people: &People, printer: &Printer) -> Repository {
    for email in [&mut application.author_email, &mut application.committer_email] {
        match people.company_email(email).map(str::to_owned) {
            Some(company_email) => *email = company_email,
            None if email.is_empty() => {}
            None => printer.warn(format!(
                "{email} is no company address; Slack cannot tell who that is without --user-mappings (USER_MAPPINGS)"
            )),
        }
    }
    application
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
