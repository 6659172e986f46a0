//! Structure and style: what may import what, cycles, file headers, and which requirement has which
//! test. Run by `make check`, not by `make test`; clippy and rustfmt check the rest.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cycles;
mod files;
mod imports;
mod paths;
mod profile;
mod requirements;
mod sources;
