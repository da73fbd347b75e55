use clap::{Args, value_parser};
use release_api::DescribeArtifactResponse;
use release_terminal::{CliError, Exit, Line, Printer, Table};

use crate::{
    context::Context,
    explain::explain,
    output::{Output, OutputArgs},
    template::values,
    times::local,
};

/// Show the newest artifacts of a service.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hamctl describe artifact --service product
  hamctl describe artifact --service product --count 20 --output json
  hamctl describe artifact --service product --template '{{ range .Artifacts }}{{ .ID }}{{ end }}'")]
pub(crate) struct DescribeArtifactArgs {
    /// How many artifacts.
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(context: &Context<'_>, args: &DescribeArtifactArgs) -> Result<Exit, CliError> {
    let described = context.client.describe_artifacts(&context.service, args.count, "");
    let described = described.await.map_err(explain)?;
    match args.output.choice() {
        Output::Plain => print(context.printer, &described),
        Output::Format(format) => format.print(context.printer, &described)?,
        Output::Template(template) => template.print(context.printer, values::artifacts(&described))?,
    }
    Ok(Exit::Ok)
}

fn print(printer: &Printer, described: &DescribeArtifactResponse) {
    printer.line(Line::new().plain("Newest artifacts of service ").strong(&described.service));
    printer.line("");
    let mut table = Table::new().header(["Built", "Artifact", "Branch", "Message"]);
    for artifact in &described.artifacts {
        let application = &artifact.application;
        table.row([
            Line::new().dim(artifact.ended_at().map(local).unwrap_or_default()),
            Line::new().good(&artifact.id),
            Line::from(&application.branch),
            Line::from(application.message.lines().next().unwrap_or_default()),
        ]);
    }
    printer.table(&table);
}
