//! How a command prints its result.

use clap::{Args, ValueEnum};
use gtmpl::Value;
use release_terminal::{CliError, Printer};
use serde::Serialize;

use crate::template;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
    Yaml,
}

#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// Print the result for programs.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

/// For commands that only read.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    #[command(flatten)]
    format: FormatArgs,
    /// Print the result with a template in Go's syntax. Functions beside Go's own:
    /// rightPad TEXT WIDTH, maxLength LIST FIELD, add A B, dateFormat, humanizeTime TIME,
    /// printIntent INTENT.
    #[arg(long, conflicts_with = "output")]
    template: Option<String>,
}

pub(crate) enum Output<'a> {
    Plain,
    Format(Format),
    Template(Template<'a>),
}

impl OutputArgs {
    pub(crate) fn choice(&self) -> Output<'_> {
        match (&self.template, self.format.output) {
            (Some(text), _) => Output::Template(Template(text)),
            (None, Some(format)) => Output::Format(format),
            (None, None) => Output::Plain,
        }
    }
}

impl Format {
    pub(crate) fn print<T: Serialize>(self, printer: &Printer, value: &T) -> Result<(), CliError> {
        let text = match self {
            Self::Json => serde_json::to_string_pretty(value).map(|json| json + "\n").map_err(failed),
            Self::Yaml => serde_norway::to_string(value).map_err(failed),
        }?;
        printer.document(&text);
        Ok(())
    }
}

fn failed(error: impl std::error::Error) -> CliError {
    CliError::from_chain(&error)
}

pub(crate) struct Template<'a>(&'a str);

impl Template<'_> {
    pub(crate) fn print(&self, printer: &Printer, value: Value) -> Result<(), CliError> {
        printer.document(&template::render(self.0, value)?);
        Ok(())
    }
}
