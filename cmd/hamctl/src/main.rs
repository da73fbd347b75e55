//! `hamctl`: what people use to release, promote, roll back and look.

mod args;
mod candidates;
mod commands;
mod context;
mod explain;
mod follow;
mod git;
mod login;
mod output;
mod releasing;
mod rollouts;
mod shuttle;
mod template;
mod times;

fn main() -> std::process::ExitCode {
    candidates::answer_shell();
    commands::main()
}
