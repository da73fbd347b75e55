use clap::{Args, value_parser};
use clap_complete::engine::ArgValueCandidates;
use release_api::v1::{DoraFigures, DoraResponse};
use release_client::DoraQuery;
use release_terminal::{CliError, Exit, Line, Printer, Table};

use crate::{
    args::GlobalArgs,
    candidates,
    context::client,
    explain::explain,
    login,
    output::FormatArgs,
    times::{duration, local},
};

/// Show how often, how fast and how well is delivered: the four figures of DORA.
///
/// Of all services, unless `--service` or `HAMCTL_SERVICE` names one; a `shuttle.yaml` is not looked at.
#[derive(Debug, Args)]
#[command(after_help = "\
Deployments      Releases, rollbacks among them.
Lead time        From the start of the build until all of it runs; the median.
Failures         What failed in its cluster or was rolled back, and its share of what was no rollback.
Time to restore  From a failure until the next deployment to that place works; the median.

Where no daemon tells, a release counts as running at once, and as failed only when it is rolled back.

Examples:
  hamctl metrics --env prod
  hamctl metrics --env prod --squad aura --days 90
  hamctl metrics --service product --output json")]
pub(crate) struct MetricsArgs {
    /// Of the services of this squad.
    #[arg(long)]
    squad: Option<String>,
    /// Of releases to this environment; without it, to all of them.
    #[arg(long, short)]
    #[arg(add = ArgValueCandidates::new(candidates::environments))]
    env: Option<String>,
    /// How far back, 1 to 365.
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u16).range(1..=365))]
    days: u16,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) async fn run(
    printer: &Printer,
    global: &GlobalArgs,
    args: &MetricsArgs,
) -> Result<Exit, CliError> {
    let query = DoraQuery {
        service: global.service.as_deref().unwrap_or_default(),
        squad: args.squad.as_deref().unwrap_or_default(),
        environment: args.env.as_deref().unwrap_or_default(),
        days: args.days,
    };
    let client = client(global, login::credentials(printer).await?)?;
    let dora = client.dora(query).await.map_err(explain)?;
    match args.format.output {
        Some(format) => format.print(printer, &dora)?,
        None => print(printer, query, &dora),
    }
    Ok(Exit::Ok)
}

fn print(printer: &Printer, query: DoraQuery<'_>, dora: &DoraResponse) {
    let period = if dora.is_cut {
        format!("since {}", local(dora.since))
    } else {
        format!("in the last {}", days(query.days))
    };
    if dora.services.is_empty() {
        printer.line(format!("There were no releases{} {period}.", scope(query)));
    } else {
        printer.line(format!("Releases{} {period}", scope(query)));
        printer.line("");
        printer.table(&table(dora));
    }
    if dora.is_cut {
        printer.hint(
            "older releases are left out, there are too many for one answer: ask for fewer days, one environment or one service",
        );
    }
}

/// ` of product to prod`
fn scope(query: DoraQuery<'_>) -> String {
    let parts = [(" of ", query.service), (" of squad ", query.squad), (" to ", query.environment)];
    parts.into_iter().filter(|(_, name)| !name.is_empty()).flat_map(|(word, name)| [word, name]).collect()
}

fn days(days: u16) -> String {
    if days == 1 { "day".to_owned() } else { format!("{days} days") }
}

fn table(dora: &DoraResponse) -> Table {
    let titles = ["Squad", "Service", "Deployments", "Per day", "Lead time", "Failures", "Time to restore"];
    let mut table = Table::new().header(titles);
    for of in &dora.services {
        table.row(row(or_dash(&of.squad), Line::new().strong(&of.service), &of.figures));
    }
    if dora.services.len() > 1 {
        table.row(row("all".into(), "".into(), &dora.overall));
    }
    table
}

fn row(squad: Line, service: Line, figures: &DoraFigures) -> [Line; 7] {
    [
        squad,
        service,
        figures.deployments.to_string().into(),
        format!("{:.2}", figures.deployments_per_day).into(),
        median(figures.lead_time_seconds),
        failures(figures),
        median(figures.time_to_restore_seconds),
    ]
}

fn median(seconds: Option<i64>) -> Line {
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    or_dash(&seconds.map(duration).unwrap_or_default())
}

/// `1 (8%)`
fn failures(figures: &DoraFigures) -> Line {
    match figures.change_failure_rate {
        Some(rate) if figures.failures > 0 => {
            Line::new().bad(format_args!("{} ({:.0}%)", figures.failures, rate * 100.0))
        }
        _ => figures.failures.to_string().into(),
    }
}

fn or_dash(text: &str) -> Line {
    if text.is_empty() { Line::new().dim("-") } else { text.into() }
}
