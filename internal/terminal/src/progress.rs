use std::{sync::Mutex, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{Printer, text::sanitise};

const TICK: Duration = Duration::from_millis(100);

/// What a command is waiting for, on standard error: a spinner on a terminal,
/// elsewhere one line each time the text changes. Dropping it removes the spinner.
pub struct Progress<'a> {
    printer: &'a Printer,
    spinner: Option<ProgressBar>,
    shown: Mutex<String>,
}

impl<'a> Progress<'a> {
    pub fn start(printer: &'a Printer, message: &str) -> Self {
        let spinner = printer.stderr_is_terminal().then(new_spinner);
        let progress = Self { printer, spinner, shown: Mutex::new(String::new()) };
        progress.update(message);
        progress
    }

    pub fn update(&self, message: &str) {
        let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *shown == message {
            return;
        }
        match &self.spinner {
            Some(spinner) => spinner.set_message(sanitise(message).into_owned()),
            None => self.printer.note(message),
        }
        message.clone_into(&mut shown);
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

fn new_spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(TICK);
    spinner
}
