use clap::{Args, ValueEnum};
use clap_complete::env::Shells;
use release_terminal::{CliError, Exit, Printer};

use crate::candidates::SHELL_VARIABLE;

/// Print a script that makes a shell complete hamctl's commands, flags and live values.
#[derive(Debug, Args)]
#[command(after_help = "\
Add it to the file that your shell reads when it starts:
  bash        echo 'source <(hamctl completion bash)' >> ~/.bashrc
  zsh         echo 'source <(hamctl completion zsh)' >> ~/.zshrc      (after compinit)
  fish        echo 'hamctl completion fish | source' >> ~/.config/fish/config.fish
  powershell  'hamctl completion powershell | Out-String | Invoke-Expression' >> $PROFILE

Environments, services, branches and artifact ids come from the server that HAMCTL_URL
names; when it does not answer within a second, nothing is offered.

Example:
  source <(hamctl completion bash)")]
pub(crate) struct CompletionArgs {
    /// The shell that reads the script.
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
        }
    }
}

pub(crate) fn run(printer: &Printer, args: &CompletionArgs) -> Result<Exit, CliError> {
    let shells = Shells::builtins();
    let shell = shells.completer(args.shell.name()).expect("the library knows the four shells");
    let mut script = Vec::new();
    shell
        .write_registration(SHELL_VARIABLE, "hamctl", "hamctl", "hamctl", &mut script)
        .map_err(|error| CliError::from_chain(&error))?;
    printer.document(&String::from_utf8_lossy(&script));
    Ok(Exit::Ok)
}
