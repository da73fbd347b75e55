//! What the command line tools print and how they end. No other crate prints.
//!
//! Text that came from elsewhere (a commit message, a name, a server's answer)
//! cannot move the cursor, change the title or fake a line: everything passes
//! [`text::sanitise`] on its way to a terminal.

mod error;
mod line;
pub mod manual;
mod printer;
mod progress;
mod table;
pub mod text;

pub use error::{CliError, Exit, run};
pub use line::Line;
pub use printer::Printer;
pub use progress::Progress;
pub use table::Table;
