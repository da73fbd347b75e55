//! Holds the operator's manual against what the daemon has.
