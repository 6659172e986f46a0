//! The program `hushbox-cti`.

fn main() {}
