//! `hushboxd`: the box.
//!
//! All it does is to start the shell with a configuration.

fn main() {}
