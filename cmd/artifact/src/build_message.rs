//! The one Slack message in `#builds` that grows with the CI job. Trouble with
//! Slack is a warning and takes at most a few seconds: the job is never failed by it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use release_core::{
    Spec,
    artifact::{StageData, Vulnerabilities},
};
use release_notify::{
    DeliveryError, People, SetupError,
    slack::{Attachment, Colour, Post, Posted, Recipient, Slack, bold, escape, link, shorten},
};
use release_terminal::Printer;
use serde::{Deserialize, Serialize};

use crate::{
    cli::{Location, SlackArgs},
    spec_file::{SpecFile, SpecFileError},
};

const CHANNEL: &str = "#builds";
/// For all that one step has to say.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most characters of a commit message or an error.
const MAX_QUOTED: usize = 500;

/// How far the job is.
pub(crate) enum Step {
    Started,
    StageAdded,
    Pushed,
    Successful,
    /// With what went wrong.
    Failed(String),
}

/// What the message file keeps between the steps of a job.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    posted: Option<Posted>,
    pushed: bool,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    Successful,
    Failed(String),
}

#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error("the message file cannot be used: {0}")]
    File(#[from] io::Error),
    #[error(transparent)]
    Spec(#[from] SpecFileError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Slack(#[from] DeliveryError),
    #[error("Slack took longer than {} s", TIMEOUT.as_secs())]
    TooSlow,
}

/// Posts or updates the message. Without a token nothing happens.
pub(crate) fn tell(args: &SlackArgs, location: &Location, step: Step, printer: &Printer) {
    let Some(token) = args.slack_token.clone().filter(|token| !token.expose().is_empty()) else { return };
    let result = Slack::new(token, args.slack_api_url.clone()).map_err(TellError::from).and_then(|slack| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let teller = Teller { slack, args, location };
            tokio::time::timeout(TIMEOUT, teller.tell(step)).await.unwrap_or(Err(TellError::TooSlow))
        })
    });
    if let Err(error) = result {
        printer.warn(format!("Slack was not told: {error}"));
    }
}

struct Teller<'a> {
    slack: Slack,
    args: &'a SlackArgs,
    location: &'a Location,
}

impl Teller<'_> {
    async fn tell(&self, step: Step) -> Result<(), TellError> {
        // Steps that run side by side wait here for each other, and the last one shows what all recorded.
        let mut file = self.open()?;
        let mut state = if matches!(step, Step::Started) { State::default() } else { read(&mut file)? };
        match step {
            Step::Started | Step::StageAdded => {}
            Step::Pushed => state.pushed = true,
            Step::Successful => state.outcome = Some(Outcome::Successful),
            Step::Failed(reason) => state.outcome = Some(Outcome::Failed(reason)),
        }
        // Before Slack is asked, so that the next step shows what this one could not.
        write(&mut file, &state)?;
        let spec = SpecFile::new(self.location).read()?;
        let attachment = render(&spec, &state);
        match &state.posted {
            Some(posted) => self.slack.update(posted, &attachment).await?,
            None => {
                let to = Recipient::Channel(CHANNEL.to_owned());
                state.posted = Some(self.slack.post(&Post { to, attachment: attachment.clone() }).await?);
                write(&mut file, &state)?;
            }
        }
        if state.outcome.is_some() {
            self.tell_author(&spec, attachment).await?;
        }
        Ok(())
    }

    async fn tell_author(&self, spec: &Spec, attachment: Attachment) -> Result<(), DeliveryError> {
        // `init` has mapped the address already.
        let people = People { email_suffix: self.args.email_suffix.clone(), ..People::default() };
        let Some(email) = people.company_email(&spec.application.author_email) else { return Ok(()) };
        let to = Recipient::Person(email.to_owned());
        self.slack.post(&Post { to, attachment }).await.map(drop)
    }

    /// Locked until it is closed.
    fn open(&self) -> io::Result<File> {
        let path: PathBuf = self.location.root.join(&self.args.message_file);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        Ok(file)
    }
}

/// A file that a killed step left half written begins anew.
fn read(file: &mut File) -> io::Result<State> {
    let mut json = String::new();
    file.read_to_string(&mut json)?;
    Ok(serde_json::from_str(&json).unwrap_or_default())
}

fn write(file: &mut File, state: &State) -> io::Result<()> {
    let json = serde_json::to_string_pretty(state).expect("it has only texts");
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(json.as_bytes())
}

fn render(spec: &Spec, state: &State) -> Attachment {
    let (color, word) = match &state.outcome {
        None => (Colour::Yellow, "is being built"),
        Some(Outcome::Successful) => (Colour::Green, "was built"),
        Some(Outcome::Failed(_)) => (Colour::Red, "failed"),
    };
    let application = &spec.application;
    let mut lines = vec![
        format!("Artifact: {}", bold(&spec.id)),
        format!("Branch: {}", link(&application.url, &application.branch)),
        format!("Author: {}", bold(&application.author_name)),
        escape(&shorten(application.message.trim(), MAX_QUOTED)),
    ];
    lines.extend(spec.stages.iter().map(|stage| {
        let found = describe(&stage.data);
        format!(":white_check_mark: {}{}", bold(&stage.name), escape(&found))
    }));
    if state.pushed {
        lines.push(format!(":white_check_mark: {}", bold("Artifact pushed")));
    }
    if let Some(Outcome::Failed(reason)) = &state.outcome {
        lines.push(format!(":no_entry: {}", bold(&shorten(reason, MAX_QUOTED))));
    }
    let title = format!("{} {word}", spec.service);
    Attachment {
        color,
        fallback: title.clone(),
        title,
        title_link: spec.ci.job_url.clone(),
        text: lines.join("\n"),
    }
}

fn describe(data: &StageData) -> String {
    let vulnerabilities = |found: &Vulnerabilities| {
        format!(": {} high, {} medium, {} low", found.high, found.medium, found.low)
    };
    match data {
        StageData::Build(image) | StageData::Push(image) => format!(": {}:{}", image.image, image.tag),
        StageData::Test(test) => {
            let found = test.results;
            format!(": {} passed, {} failed, {} skipped", found.passed, found.failed, found.skipped)
        }
        StageData::SnykCode(scan) => vulnerabilities(&scan.vulnerabilities),
        StageData::SnykDocker(scan) => vulnerabilities(&scan.vulnerabilities),
        StageData::Unknown(_) => String::new(),
    }
}
