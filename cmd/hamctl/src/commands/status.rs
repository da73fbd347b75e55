use clap::Args;
use release_api::{Environment, v1::StatusResponse};
use release_terminal::{CliError, Exit, Line};

use crate::{
    args::NamespaceArgs,
    context::Context,
    explain::explain,
    output::{Output, OutputArgs},
    rollouts,
    template::values,
    times::local_millis,
};

/// Show what runs where.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hamctl status --service product
  hamctl status --service product --output json
  hamctl status --service product --template '{{ range .Environments }}{{ .Name }} {{ .Tag }}\n{{ end }}'")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    namespace: NamespaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(context: &Context<'_>, args: &StatusArgs) -> Result<Exit, CliError> {
    let namespace = context.namespace(&args.namespace);
    let status = context.client.status_with_rollouts(&context.service, &namespace).await.map_err(explain)?;
    match args.output.choice() {
        Output::Plain => print(context, &status),
        Output::Format(format) => format.print(context.printer, &status)?,
        Output::Template(template) => {
            template.print(context.printer, values::status(&context.service, &status))?;
        }
    }
    Ok(Exit::Ok)
}

fn print(context: &Context<'_>, status: &StatusResponse) {
    let printer = context.printer;
    printer.line(Line::new().plain("Status for service ").strong(&context.service));
    printer.line("");
    let names = status.environments.iter().map(|status| status.environment.name.chars().count());
    let width = names.max().unwrap_or_default() + 1;
    for status in &status.environments {
        printer.line(line(&status.environment, width));
        for line in rollouts::lines(status, width + 1) {
            printer.line(line);
        }
    }
    if status.environments.iter().all(|status| status.environment.tag.is_empty()) {
        printer.line("Nothing of this service runs anywhere.");
        if status.default_namespaces {
            printer.hint("is it in another namespace than the environment's? Name it with --namespace");
        }
    }
}

/// `dev:  2021-06-23 08:42:22 master-1234-5678 by Jane Doe: Useful bits`
fn line(environment: &Environment, width: usize) -> Line {
    let line = Line::new().strong(format_args!("{:width$}", format!("{}:", environment.name))).plain(' ');
    if environment.tag.is_empty() {
        return line.dim("nothing");
    }
    let line = match local_millis(environment.date) {
        Some(date) => line.dim(date).plain(' '),
        None => line,
    };
    let author = if environment.author.is_empty() { &environment.committer } else { &environment.author };
    let line = line.good(&environment.tag);
    let line = if author.is_empty() { line } else { line.plain(format_args!(" by {author}")) };
    match environment.message.lines().next() {
        Some(message) => line.plain(format_args!(": {message}")),
        None => line,
    }
}
