use std::{
    fmt,
    io::{self, IsTerminal as _, Write},
    sync::{Mutex, PoisonError},
};

use crate::{CliError, Line, Table, text::sanitise_document};

/// Standard output and standard error.
///
/// Colour only where a terminal reads and `NO_COLOR` is not set. A reader that
/// went away (`| head`) is no error, and the command still does all its work;
/// any other failure to write is reported by [`crate::run`].
pub struct Printer {
    out: Mutex<Stream>,
    err: Mutex<Stream>,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

struct Stream {
    writer: Box<dyn Write + Send>,
    failure: Option<io::Error>,
}

impl Printer {
    /// Prints to this process's streams.
    pub fn new() -> Self {
        Self {
            out: Stream::new(anstream::stdout()),
            err: Stream::new(anstream::stderr()),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Whether a person can be asked something.
    pub fn is_interactive(&self) -> bool {
        self.stdout_is_terminal && self.stderr_is_terminal && io::stdin().is_terminal()
    }

    /// One line of the command's result, on standard output.
    pub fn line(&self, line: impl Into<Line>) {
        write(&self.out, format_args!("{}\n", line.into()));
    }

    /// A table, on standard output.
    pub fn table(&self, table: &Table) {
        for line in table.lines() {
            write(&self.out, format_args!("{line}\n"));
        }
    }

    /// JSON, YAML or a filled template, on standard output. A program reads the
    /// exact text; a terminal gets it without control characters.
    pub fn document(&self, text: &str) {
        if self.stdout_is_terminal {
            write(&self.out, format_args!("{}", sanitise_document(text)));
        } else {
            write(&self.out, format_args!("{text}"));
        }
    }

    /// A line about what is going on, on standard error.
    pub fn note(&self, line: impl Into<Line>) {
        write(&self.err, format_args!("{}\n", line.into()));
    }

    /// Something the user should know that does not stop the command, on standard error.
    pub fn warn(&self, sentence: impl fmt::Display) {
        self.note(Line::new().strong("warning:").plain(' ').plain(sentence));
    }

    /// What the user may do next, on standard error.
    pub fn hint(&self, sentence: impl fmt::Display) {
        self.note(Line::new().strong("hint:").plain(' ').plain(sentence));
    }

    /// Only an error's hints, for a command that showed its sentence in its own way.
    pub fn hints(&self, error: &CliError) {
        for hint in error.hints() {
            self.hint(hint);
        }
    }

    pub(crate) fn stderr_is_terminal(&self) -> bool {
        self.stderr_is_terminal
    }

    pub(crate) fn report(&self, error: &CliError) {
        self.note(Line::new().bad("error:").plain(' ').plain(error.sentence_with_reference()));
        self.hints(error);
    }

    /// Why some of the output is lost, if it is.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.flush();
        out.failure.take().filter(|failure| failure.kind() != io::ErrorKind::BrokenPipe)
    }
}

impl Default for Printer {
    fn default() -> Self {
        Self::new()
    }
}

impl Stream {
    fn new(writer: impl Write + Send + 'static) -> Mutex<Self> {
        Mutex::new(Self { writer: Box::new(writer), failure: None })
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        if self.failure.is_none() {
            self.failure = self.writer.write_fmt(text).err();
        }
    }

    fn flush(&mut self) {
        if self.failure.is_none() {
            self.failure = self.writer.flush().err();
        }
    }
}

fn write(stream: &Mutex<Stream>, text: fmt::Arguments<'_>) {
    stream.lock().unwrap_or_else(PoisonError::into_inner).write(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printer(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Printer {
        Printer {
            out: Stream::new(out),
            err: Stream::new(err),
            stdout_is_terminal: false,
            stderr_is_terminal: false,
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is_one() {
        let gone = printer(Failing(io::ErrorKind::BrokenPipe), io::sink());
        gone.line("x");
        gone.line("y");
        assert!(gone.take_failure().is_none());

        let full = printer(Failing(io::ErrorKind::StorageFull), io::sink());
        full.line("x");
        assert_eq!(full.take_failure().map(|e| e.kind()), Some(io::ErrorKind::StorageFull));
    }

    #[test]
    fn the_report_of_an_error_has_its_reference_and_hints_and_nothing_harmful() {
        let (mut reader, writer) = io::pipe().unwrap();
        let error = CliError::failed("it broke\u{1b}[2J").hint("mend it").hint("or not").reference("42");
        printer(io::sink(), writer).report(&error);
        let mut report = String::new();
        io::Read::read_to_string(&mut reader, &mut report).unwrap();
        let report = anstream::adapter::strip_str(&report).to_string();
        assert_eq!(report, "error: it broke�[2J (reference: 42)\nhint: mend it\nhint: or not\n");
    }
}
