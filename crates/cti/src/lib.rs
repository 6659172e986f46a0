//! Translates the call events of telephone exchanges into the line protocol.
//!
//! `parse` splits the bytes of an exchange into messages, `translate` derives calls from them and
//! lines from the calls, `session` joins the two for one connection. All three are pure. `config`
//! reads `cti.toml`, and `shell` has the sockets, the serial line and the connection to the box.
//!
//! Telephone numbers go into lines for the box, and nowhere else: no error and no log line holds
//! one.

pub mod config;
pub mod parse;
pub mod session;
pub mod shell;
pub mod translate;

#[cfg(test)]
mod test_feed;
