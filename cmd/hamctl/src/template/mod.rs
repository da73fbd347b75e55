//! `--template`: Go's template syntax over the field's names, for scripts that exist.

mod functions;
mod go_time;
mod methods;
pub(crate) mod values;

use gtmpl::{Context, Template, Value};
use release_terminal::CliError;

/// Fills a template.
pub(crate) fn render(text: &str, value: Value) -> Result<String, CliError> {
    let mut template = Template::default();
    template.add_funcs(&functions::ALL);
    template.parse(methods::as_functions(text)).map_err(|error| invalid(&error.to_string()))?;
    template.render(&Context::from(value)).map_err(|error| invalid(&error.to_string()))
}

/// The library's message about an unknown field ends with a dump of the whole value.
fn invalid(message: &str) -> CliError {
    let message = match message.split_once(" for ") {
        Some((start, _)) if message.starts_with("no field ") => start,
        _ => message,
    };
    CliError::usage(format!("the template cannot be used: {message}"))
}

#[cfg(test)]
mod tests;
