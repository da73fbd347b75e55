//! Tells the server what happens to releases in a cluster.

fn main() {}
