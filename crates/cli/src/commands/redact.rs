//! `hushbox redact ID FROM TO`: asks the recorder to remove a range of a recording for good.

use crate::Outcome;
use crate::cli::RedactArgs;
use crate::error::Error;
use crate::output::escape::write_lines;
use crate::output::reply_format;
use crate::server::{self, LoginOutcome, ServerList};
use protocol::Kind;
use protocol::client::Reply;

pub fn run(args: &RedactArgs) -> Result<Outcome, Error> {
    let servers = ServerList::from_args(&args.server)?;
    let login = server::build_login(Kind::Supervisor, &args.user)?;
    let mut connection = match servers.log_in(&login)? {
        LoginOutcome::Accepted(connection, _) => *connection,
        LoginOutcome::Refused(reply) => return print_reply(&reply),
    };
    let reply = server::send_request(&mut connection, &redact_line(args))?;
    print_reply(&reply)
}

fn redact_line(args: &RedactArgs) -> String {
    let mut line = Vec::new();
    let command = protocol::reply::begin_line(&mut line, "redact").word(&args.id);
    let command = command.pair("from_ms", args.from_ms).pair("to_ms", args.to_ms);
    command.pair("reason", &args.reason).end();
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

/// Prints the reply: what is gone, or why nothing is.
fn print_reply(reply: &Reply) -> Result<Outcome, Error> {
    let text = reply_format::format_outcome(&reply.outcome);
    write_lines(&mut std::io::stdout(), &text).map_err(Error::Stdout)?;
    Ok(if reply.outcome.is_ok() { Outcome::Done } else { Outcome::Unclean })
}
