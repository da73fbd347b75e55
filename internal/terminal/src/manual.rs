//! A program's manual, made from its flags: a page of Markdown, and man pages.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Arg, Args, Command};

use crate::{CliError, Exit};

/// Write this program's manual, for those who package it
#[derive(Debug, Args)]
pub struct ManualArgs {
    /// The directory that gets `<program>.md` and `man/*.1`
    directory: PathBuf,
}

impl ManualArgs {
    pub fn run(&self, program: Command) -> Result<Exit, CliError> {
        let failed = |error| {
            CliError::failed(format!("the manual cannot be written to {}: {error}", self.directory.display()))
        };
        write(program, &self.directory).map_err(failed)?;
        Ok(Exit::Ok)
    }
}

/// What is there already is replaced.
fn write(program: Command, directory: &Path) -> io::Result<()> {
    // So that the pages do not depend on the terminal that they are made in.
    let mut program = program.term_width(0).disable_help_subcommand(true);
    program.build();
    let pages = directory.join("man");
    fs::create_dir_all(&pages)?;
    fs::write(directory.join(format!("{}.md", program.get_name())), markdown(&program))?;
    clap_mangen::generate_to(program, pages)
}

/// All commands, each with its flags.
fn markdown(program: &Command) -> String {
    let name = program.get_name();
    let mut page =
        format!("# {name}\n\nMade from the program itself by `make docs`; a test finds it stale.\n");
    section(&mut page, program, 1);
    page
}

fn section(page: &mut String, command: &Command, depth: usize) {
    let name = command.get_display_name().unwrap_or(command.get_name()).replace('-', " ");
    if depth > 1 {
        let _ = write!(page, "\n## `{name}`\n");
    }
    let about = command.get_long_about().or(command.get_about());
    if let Some(text) = about {
        let _ = write!(page, "\n{text}\n");
    }
    let usage = command.clone().render_usage().to_string();
    let _ = write!(page, "\n```\n{}\n```\n", usage.trim_start_matches("Usage: "));
    flags(page, command, depth);
    if let Some(examples) = command.get_after_help() {
        let _ = write!(page, "\n```\n{}\n```\n", examples.to_string().trim_end());
    }
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        section(page, subcommand, depth + 1);
    }
}

/// Those of all commands are told once, at the top.
fn flags(page: &mut String, command: &Command, depth: usize) {
    let is_told = |argument: &&Arg| {
        let is_own = depth == 1 || !argument.is_global_set();
        is_own && !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
    };
    let rows: Vec<String> = command.get_arguments().filter(is_told).map(row).collect();
    if !rows.is_empty() {
        let _ = write!(page, "\n| flag | variable | default | |\n|---|---|---|---|\n{}\n", rows.join("\n"));
    }
}

fn row(argument: &Arg) -> String {
    // A bar would end the column.
    let code = |text: &str| format!("`{}`", text.replace('|', "\\|"));
    let variable = argument.get_env().map(|name| code(&name.to_string_lossy())).unwrap_or_default();
    let is_switch = !argument.get_action().takes_values();
    let default = match argument.get_default_values() {
        [] if argument.is_required_set() => "required".to_owned(),
        [value] if !is_switch && !value.is_empty() => code(&value.to_string_lossy()),
        _ => String::new(),
    };
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let help = help.lines().map(str::trim).collect::<Vec<_>>().join(" ").replace('|', "\\|");
    format!("| {} | {variable} | {default} | {help} |", code(&form(argument)))
}

/// `-e, --env <ENV>`, or `<ID>...` without a name.
fn form(argument: &Arg) -> String {
    let names =
        [argument.get_short().map(|c| format!("-{c}")), argument.get_long().map(|name| format!("--{name}"))];
    let mut form = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if argument.get_action().takes_values() {
        let value = argument.get_value_names().and_then(|names| names.first());
        let value = value.map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string);
        let separator = if form.is_empty() { "" } else { " " };
        let _ = write!(form, "{separator}<{value}>");
    }
    form
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn program() -> Command {
        let global = Arg::new("url").long("url").global(true).help("Where it is");
        let count = Arg::new("count").short('c').long("count").default_value("5").help("How\n many | few");
        let all = Arg::new("all").long("all").action(ArgAction::SetTrue).help("Everything");
        let secret = Arg::new("secret").long("secret").hide(true);
        let list = Command::new("list")
            .about("Show them")
            .args([count, all, secret])
            .after_help("Example:\n  x list");
        let hidden = Command::new("manual").hide(true);
        Command::new("x").about("Does x").arg(global).subcommands([list, hidden])
    }

    #[test]
    fn a_page_has_all_that_is_not_hidden() {
        let directory = tempfile::tempdir().unwrap();
        write(program(), directory.path()).unwrap();
        let page = fs::read_to_string(directory.path().join("x.md")).unwrap();
        for expected in [
            "# x\n",
            "\nDoes x\n",
            "| `--url <URL>` |  |  | Where it is |",
            "\n## `x list`\n\nShow them\n",
            "\n```\nx list [OPTIONS]\n```\n",
            "| `-c, --count <COUNT>` |  | `5` | How many \\| few |",
            "| `--all` |  |  | Everything |",
            "\n```\nExample:\n  x list\n```\n",
        ] {
            assert!(page.contains(expected), "{expected:?} is not in:\n{page}");
        }
        for hidden in ["--secret", "manual\n", "--help"] {
            assert!(!page.contains(hidden), "{hidden:?} is in:\n{page}");
        }
        assert_eq!(page.matches("--url").count(), 1);
    }

    #[test]
    fn there_is_a_man_page_for_each_command() {
        let directory = tempfile::tempdir().unwrap();
        write(program(), directory.path()).unwrap();
        let page = fs::read_to_string(directory.path().join("man/x-list.1")).unwrap();
        assert!(page.contains(".TH"), "{page}");
    }
}
