//! `hushbox`: the tool that people use on a box and on its store.
//!
//! Its words come with the doors of the box; it never writes to a store.

fn main() {}
