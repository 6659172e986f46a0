//! From checked arguments to the typed command: one small function per form, named in the table.
//!
//! The arguments have passed `Args::bind`, so a value of a wrong type cannot come here; what is
//! left to refuse are combinations (`hello agent` without a user).

use super::{CallArgs, Command, ConfigEdit, Hello, RecordsQuery};
use crate::arg::Args;
use crate::code::Refusal;
use crate::kind::{Direction, Kind, Level, Part, Purpose};
use std::borrow::Cow;

type Made<'a> = Result<Command<'a>, Refusal>;

pub(crate) fn hello(mut args: Args<'_>) -> Made<'_> {
    let kind = args.need_as("KIND", Kind::parse)?;
    let user = args.maybe("user");
    let named = matches!(kind, Kind::Agent | Kind::Supervisor | Kind::Technician);
    if named && user.is_none() {
        return Err(args.bad(format_args!("user= is missing; hello {kind} needs it")));
    }
    let (domain, machine) = (args.maybe("domain"), args.maybe("machine"));
    let (client, pin) = (args.maybe("client"), args.maybe("pin"));
    let via = args.maybe("via").is_some();
    if via && !matches!(kind, Kind::Agent | Kind::Supervisor) {
        return Err(args.bad("via=portal is for hello agent and hello supervisor"));
    }
    Ok(Command::Hello(Hello { kind, user, domain, machine, client, pin, via }))
}

pub(crate) fn help(mut args: Args<'_>) -> Made<'_> {
    let verb = match (args.maybe("VERB"), args.maybe("VERB2")) {
        (Some(first), Some(second)) => Some(Cow::Owned(format!("{first} {second}"))),
        (first, _) => first,
    };
    Ok(Command::Help { verb })
}

pub(crate) fn record_start(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::RecordStart { device: Some(args.need("device")?) })
}

pub(crate) fn record_stop(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::RecordStop { device: Some(args.need("device")?) })
}

pub(crate) fn blackout_start(mut args: Args<'_>) -> Made<'_> {
    let lead_ms = args.maybe_number("lead_ms")?;
    Ok(Command::BlackoutStart { lead_ms, agent: None })
}

pub(crate) fn blackout_start_of(mut args: Args<'_>) -> Made<'_> {
    let agent = Some(args.need("agent")?);
    Ok(Command::BlackoutStart { lead_ms: args.maybe_number("lead_ms")?, agent })
}

pub(crate) fn blackout_stop_of(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::BlackoutStop { agent: Some(args.need("agent")?) })
}

pub(crate) fn update(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::Update { field: args.number("N")?, value: args.need("VALUE")? })
}

pub(crate) fn call_start(args: Args<'_>) -> Made<'_> {
    Ok(Command::CallStart(call_args(args)?))
}

pub(crate) fn call_update(args: Args<'_>) -> Made<'_> {
    Ok(Command::CallUpdate(call_args(args)?))
}

pub(crate) fn call_hold(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::CallHold { device: args.need("device")?, call: args.need("call")? })
}

pub(crate) fn call_resume(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::CallResume { device: args.need("device")?, call: args.need("call")? })
}

pub(crate) fn call_stop(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::CallStop { device: args.need("device")?, call: args.need("call")? })
}

pub(crate) fn config_set(mut args: Args<'_>) -> Made<'_> {
    let (key, value) = (args.need("KEY")?, args.need("VALUE")?);
    Ok(Command::ConfigEdit(ConfigEdit::Set { key, value }))
}

pub(crate) fn config_listen(mut args: Args<'_>) -> Made<'_> {
    let (address, door) = (args.need("ADDRESS")?, args.need("plain|tls|off")?);
    Ok(Command::ConfigEdit(ConfigEdit::Listen { address, door }))
}

pub(crate) fn config_pin(mut args: Args<'_>) -> Made<'_> {
    let (name, pin) = (args.need("NAME")?, args.need("pin")?);
    Ok(Command::ConfigEdit(ConfigEdit::Pin { name, pin }))
}

pub(crate) fn meters(mut args: Args<'_>) -> Made<'_> {
    let from = args.maybe_number("from")?.unwrap_or(0);
    Ok(Command::Meters { from, limit: args.maybe_number("limit")? })
}

pub(crate) fn records(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::Records(RecordsQuery {
        from: args.maybe("from"),
        to: args.maybe("to"),
        agent: args.maybe("agent"),
        device: args.maybe("device"),
        call: args.maybe("call"),
        ani: args.maybe("ani"),
        dnis: args.maybe("dnis"),
        limit: args.maybe_number("limit")?,
    }))
}

pub(crate) fn show(mut args: Args<'_>) -> Made<'_> {
    let sealed = args.maybe("sealed").is_some_and(|word| word == "on");
    Ok(Command::Show { id: args.need("ID")?, sealed })
}

pub(crate) fn media(mut args: Args<'_>) -> Made<'_> {
    let from = args.maybe_number("from")?.unwrap_or(0);
    let purpose = args.maybe_as("for", Purpose::parse)?.unwrap_or_default();
    let part = args.maybe_as("part", Part::parse)?.unwrap_or_default();
    Ok(Command::Media { id: args.need("ID")?, from, purpose, part })
}

pub(crate) fn watch(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::Watch { from: args.maybe_number("from")? })
}

pub(crate) fn protect(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::Protect { id: args.need("ID")?, on: args.need("on|off")? == "on" })
}

pub(crate) fn delete(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::Delete { id: args.need("ID")? })
}

pub(crate) fn alarm_clear(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::AlarmClear { number: args.number("N")? })
}

pub(crate) fn log_level(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::LogLevel { level: args.need_as("LEVEL", Level::parse)? })
}

pub(crate) fn enrol(mut args: Args<'_>) -> Made<'_> {
    let mut kinds: Vec<Kind> = args
        .maybe("kinds")
        .map(|list| list.split(',').filter_map(Kind::parse).collect())
        .unwrap_or_default();
    kinds.sort_unstable();
    kinds.dedup();
    Ok(Command::Enrol { machine: args.need("MACHINE")?, kinds })
}

pub(crate) fn enrol_code(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::EnrolCode { code: args.need("code")? })
}

pub(crate) fn revoke(mut args: Args<'_>) -> Made<'_> {
    Ok(Command::Revoke { machine: args.need("MACHINE")? })
}

pub(crate) fn segment(mut args: Args<'_>) -> Made<'_> {
    let (recording, start) = (args.need("recording")?, args.need("start")?);
    Ok(Command::Segment { recording, start, duration_ms: args.number("duration_ms")? })
}

/// What `call start` and `call update` both take.
fn call_args(mut args: Args<'_>) -> Result<CallArgs<'_>, Refusal> {
    Ok(CallArgs {
        device: args.need("device")?,
        call: args.need("call")?,
        of: args.maybe("of"),
        ani: args.known("ani"),
        dnis: args.known("dnis"),
        direction: args.maybe_as("direction", Direction::parse)?,
        group: args.known("group"),
        gate: args.known("gate"),
        agent: args.maybe("agent"),
    })
}
