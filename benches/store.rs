//! The store beside SQLite: to be written.
fn main() {}
