//! The `mintcode` command.
fn main() {}
