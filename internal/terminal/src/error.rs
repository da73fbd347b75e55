use std::{fmt, process::ExitCode};

use crate::Printer;

/// How a command ended. The numbers are fixed: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    /// Something did not work.
    Failed = 1,
    /// The command was called in a way that can never work.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What went wrong, for the person at the terminal: one sentence, what to do
/// about it, and the reference that finds the request in the server's logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    exit: Exit,
    sentence: String,
    hints: Vec<String>,
    reference: Option<String>,
}

impl CliError {
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, sentence: sentence.into(), hints: Vec::new(), reference: None }
    }

    pub fn usage(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::failed(sentence) }
    }

    /// An error and its causes in one sentence, `what: why: why`.
    pub fn from_chain(error: &dyn std::error::Error) -> Self {
        let mut sentence = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            sentence.push_str(": ");
            sentence.push_str(&error.to_string());
            cause = error.source();
        }
        Self::failed(sentence)
    }

    /// What to do next; may be called several times.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The request id.
    #[must_use]
    pub fn reference(mut self, reference: impl fmt::Display) -> Self {
        self.reference = Some(reference.to_string());
        self
    }

    /// The same error told in other words, for a caller that knows more.
    #[must_use]
    pub fn with_sentence(self, sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), ..self }
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// `<sentence> (reference: <request id>)`
    pub fn sentence_with_reference(&self) -> String {
        match &self.reference {
            Some(reference) => format!("{} (reference: {reference})", self.sentence),
            None => self.sentence.clone(),
        }
    }

    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }
}

/// Ends a command: prints its error, if it has one, and gives the exit code.
pub fn run(printer: &Printer, result: Result<Exit, CliError>) -> ExitCode {
    let exit = result.unwrap_or_else(|error| {
        printer.report(&error);
        error.exit()
    });
    let Some(failure) = printer.take_failure() else { return exit.into() };
    printer.report(&CliError::failed(format!("standard output cannot be written: {failure}")));
    Exit::Failed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_the_error_they_caused() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the file cannot be read")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = CliError::from_chain(&Outer(std::io::Error::other("disk on fire")));
        assert_eq!(error, CliError::failed("the file cannot be read: disk on fire"));
    }

    #[test]
    fn exit_codes_are_fixed() {
        assert_eq!([Exit::Ok as u8, Exit::Failed as u8, Exit::Usage as u8], [0, 1, 2]);
        assert_eq!(CliError::usage("x").exit(), Exit::Usage);
    }
}
