use clap::{Args, builder::NonEmptyStringValueParser, value_parser};
use clap_complete::engine::ArgValueCandidates;
use release_api::{DescribeReleaseResponse, Release};
use release_terminal::{CliError, Exit, Line, Printer};

use crate::{
    args::NamespaceArgs,
    candidates,
    context::Context,
    explain::explain,
    output::{Output, OutputArgs},
    template::values::{self, intent_sentence},
    times::local,
};

/// Show the last releases to an environment.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hamctl describe release --service product --env dev
  hamctl describe release --service product --env dev --count 5 --output yaml
  hamctl describe release --service product --env dev --template '{{ range .Releases }}{{ .Artifact.ID }}{{ end }}'")]
pub(crate) struct DescribeReleaseArgs {
    /// Where.
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = ArgValueCandidates::new(candidates::environments))]
    env: String,
    /// How many releases.
    #[arg(long, short, default_value_t = 1, value_parser = value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(context: &Context<'_>, args: &DescribeReleaseArgs) -> Result<Exit, CliError> {
    let namespace = context.namespace(&args.namespace);
    let described = context.client.describe_release(&context.service, &args.env, args.count, &namespace);
    let described = described.await.map_err(explain)?;
    match args.output.choice() {
        Output::Plain => print(context.printer, &described),
        Output::Format(format) => format.print(context.printer, &described)?,
        Output::Template(template) => template.print(context.printer, values::releases(&described))?,
    }
    Ok(Exit::Ok)
}

fn print(printer: &Printer, described: &DescribeReleaseResponse) {
    printer.line(Line::new().plain("Service:     ").strong(&described.service));
    printer.line(Line::new().plain("Environment: ").strong(&described.environment));
    for release in &described.releases {
        printer.line("");
        print_release(printer, release);
    }
    if described.releases.is_empty() {
        printer.line("");
        printer.line("There are no releases.");
    }
}

fn print_release(printer: &Printer, release: &Release) {
    let current = if release.release_index == 0 { " (current)" } else { "" };
    printer.line(
        Line::new()
            .dim(format_args!("#{} ", release.release_index))
            .good(&release.artifact.id)
            .plain(current),
    );
    let artifact = &release.artifact;
    let application = &artifact.application;
    let message = application.message.lines().next().unwrap_or_default();
    let released_by = person(&release.released_by_name, &release.released_by_email);
    let fields = [
        ("Namespace:", artifact.namespace.clone()),
        ("Built:", artifact.ended_at().map(local).unwrap_or_default()),
        ("Author:", person(&application.author_name, &application.author_email)),
        ("Committer:", person(&application.committer_name, &application.committer_email)),
        ("Released:", format!("{} by {released_by}", local(release.released_at))),
        ("Intent:", intent_sentence(&release.intent)),
        ("Commit:", application.url.clone()),
        ("Message:", message.to_owned()),
    ];
    for (label, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        printer.line(Line::new().dim(format_args!("   {label:<11}")).plain(value));
    }
}

fn person(name: &str, email: &str) -> String {
    match (name, email) {
        (name, "") => name.to_owned(),
        ("", email) => email.to_owned(),
        (name, email) => format!("{name} <{email}>"),
    }
}
