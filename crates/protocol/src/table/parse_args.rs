//! Parsers from checked arguments to the typed command: one function per form, named in the table.
//!
//! `Args::bind` has checked the type of every value. The parsers refuse only wrong combinations,
//! such as `hello agent` without a user.

use crate::arg::Args;
use crate::code::Refusal;
use crate::command::{CallArgs, Command, ConfigEdit, Hello, RecordsQuery};
use crate::kind::{Direction, Kind, Level, MediaPart, Purpose};
use std::borrow::Cow;

/// The longest time since a press, in milliseconds. A client gives up long before.
const PRESSED_MS_MAX: u32 = 600_000;

type ParseResult<'a> = Result<Command<'a>, Refusal>;

pub(crate) fn hello(mut args: Args<'_>) -> ParseResult<'_> {
    let kind = args.parse_required("KIND", Kind::parse)?;
    let user = args.take_optional("user");
    let named = matches!(kind, Kind::Agent | Kind::Supervisor | Kind::Technician);
    if named && user.is_none() {
        return Err(args.refuse(format_args!("user= is missing; hello {kind} needs it")));
    }
    let (domain, machine) = (args.take_optional("domain"), args.take_optional("machine"));
    let (client, pin) = (args.take_optional("client"), args.take_optional("pin"));
    let via = args.take_optional("via").is_some();
    if via && !matches!(kind, Kind::Agent | Kind::Supervisor) {
        return Err(args.refuse("via=portal is only for hello agent and hello supervisor"));
    }
    Ok(Command::Hello(Hello { kind, user, domain, machine, client, pin, via }))
}

pub(crate) fn help(mut args: Args<'_>) -> ParseResult<'_> {
    let verb = match (args.take_optional("VERB"), args.take_optional("VERB2")) {
        (Some(first), Some(second)) => Some(Cow::Owned(format!("{first} {second}"))),
        (first, _) => first,
    };
    Ok(Command::Help { verb })
}

pub(crate) fn record_start(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::RecordStart { device: Some(args.take_required("device")?), call: None })
}

pub(crate) fn record_stop(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::RecordStop { device: Some(args.take_required("device")?), call: None })
}

pub(crate) fn record_start_own(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::RecordStart { device: None, call: args.take_optional("call") })
}

pub(crate) fn record_stop_own(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::RecordStop { device: None, call: args.take_optional("call") })
}

pub(crate) fn blackout_start(mut args: Args<'_>) -> ParseResult<'_> {
    let pressed_ms = args.optional_number("pressed_ms")?.unwrap_or(0);
    if pressed_ms > PRESSED_MS_MAX {
        let why = format!("pressed_ms={pressed_ms}: allowed 0 to {PRESSED_MS_MAX}");
        return Err(args.refuse(why));
    }
    let lead_ms = args.optional_number("lead_ms")?;
    Ok(Command::BlackoutStart { pressed_ms, lead_ms, agent: None })
}

pub(crate) fn blackout_start_of(mut args: Args<'_>) -> ParseResult<'_> {
    let agent = Some(args.take_required("agent")?);
    let lead_ms = args.optional_number("lead_ms")?;
    Ok(Command::BlackoutStart { pressed_ms: 0, lead_ms, agent })
}

pub(crate) fn blackout_stop_of(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::BlackoutStop { agent: Some(args.take_required("agent")?) })
}

pub(crate) fn update(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::Update {
        field: args.required_number("N")?,
        value: args.take_required("VALUE")?,
        call: args.take_optional("call"),
        call_number: args.optional_number("call_number")?,
    })
}

pub(crate) fn call_start(args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::CallStart(parse_call_args(args)?))
}

pub(crate) fn call_update(args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::CallUpdate(parse_call_args(args)?))
}

pub(crate) fn call_hold(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::CallHold {
        device: args.take_required("device")?,
        call: args.take_required("call")?,
    })
}

pub(crate) fn call_resume(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::CallResume {
        device: args.take_required("device")?,
        call: args.take_required("call")?,
    })
}

pub(crate) fn call_stop(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::CallStop {
        device: args.take_required("device")?,
        call: args.take_required("call")?,
    })
}

pub(crate) fn config_set(mut args: Args<'_>) -> ParseResult<'_> {
    let (key, value) = (args.take_required("KEY")?, args.take_required("VALUE")?);
    Ok(Command::ConfigEdit(ConfigEdit::Set { key, value }))
}

pub(crate) fn config_listen(mut args: Args<'_>) -> ParseResult<'_> {
    let (address, mode) = (args.take_required("ADDRESS")?, args.take_required("plain|tls|off")?);
    Ok(Command::ConfigEdit(ConfigEdit::Listen { address, mode }))
}

pub(crate) fn config_pin(mut args: Args<'_>) -> ParseResult<'_> {
    let (name, pin) = (args.take_required("NAME")?, args.take_required("pin")?);
    let is_new = args.take_optional("new").is_some();
    Ok(Command::ConfigEdit(ConfigEdit::Pin { name, pin, is_new }))
}

pub(crate) fn config_reload(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::ConfigReload { confirm: args.take_optional("confirm").is_some() })
}

pub(crate) fn meters(mut args: Args<'_>) -> ParseResult<'_> {
    let from = args.optional_number("from")?.unwrap_or(0);
    Ok(Command::Meters { from, limit: args.optional_number("limit")? })
}

pub(crate) fn records(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::Records(RecordsQuery {
        from: args.take_optional("from"),
        to: args.take_optional("to"),
        agent: args.take_optional("agent"),
        device: args.take_optional("device"),
        call: args.take_optional("call"),
        ani: args.take_optional("ani"),
        dnis: args.take_optional("dnis"),
        limit: args.optional_number("limit")?,
    }))
}

pub(crate) fn show(mut args: Args<'_>) -> ParseResult<'_> {
    let sealed = args.take_optional("sealed").is_some_and(|word| word == "on");
    Ok(Command::Show { id: args.take_required("ID")?, sealed })
}

pub(crate) fn media(mut args: Args<'_>) -> ParseResult<'_> {
    let from = args.optional_number("from")?.unwrap_or(0);
    let purpose = args.parse_optional("for", Purpose::parse)?.unwrap_or_default();
    let part = args.parse_optional("part", MediaPart::parse)?.unwrap_or_default();
    Ok(Command::Media { id: args.take_required("ID")?, from, purpose, part })
}

pub(crate) fn watch(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::Watch { from: args.optional_number("from")? })
}

pub(crate) fn protect(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::Protect {
        id: args.take_required("ID")?,
        on: args.take_required("on|off")? == "on",
    })
}

pub(crate) fn delete(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::Delete { id: args.take_required("ID")? })
}

pub(crate) fn redact(mut args: Args<'_>) -> ParseResult<'_> {
    let (from_ms, to_ms) = (args.required_number("from_ms")?, args.required_number("to_ms")?);
    if from_ms >= to_ms {
        let why = format!("from_ms={from_ms} to_ms={to_ms}: the range is empty; to_ms is its end");
        return Err(args.refuse(why));
    }
    let reason = args.take_required("reason")?;
    if reason.trim().is_empty() || reason.chars().any(char::is_control) {
        return Err(args.refuse("reason= needs a text without control characters"));
    }
    Ok(Command::Redact { id: args.take_required("ID")?, from_ms, to_ms, reason })
}

pub(crate) fn alarm_clear(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::AlarmClear { number: args.required_number("N")? })
}

pub(crate) fn clock_confirm(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::ClockConfirm { date: args.take_required("DATE")? })
}

pub(crate) fn log_level(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::LogLevel { level: args.parse_required("LEVEL", Level::parse)? })
}

pub(crate) fn enrol(mut args: Args<'_>) -> ParseResult<'_> {
    let mut kinds: Vec<Kind> = args
        .take_optional("kinds")
        .map(|list| list.split(',').filter_map(Kind::parse).collect())
        .unwrap_or_default();
    kinds.sort_unstable();
    kinds.dedup();
    Ok(Command::Enrol { machine: args.take_required("MACHINE")?, kinds })
}

pub(crate) fn enrol_code(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::EnrolCode { code: args.take_required("code")? })
}

pub(crate) fn revoke(mut args: Args<'_>) -> ParseResult<'_> {
    Ok(Command::Revoke { machine: args.take_required("MACHINE")? })
}

pub(crate) fn segment(mut args: Args<'_>) -> ParseResult<'_> {
    let (recording, start) = (args.take_required("recording")?, args.take_required("start")?);
    Ok(Command::Segment { recording, start, duration_ms: args.required_number("duration_ms")? })
}

/// Parses the arguments that `call start` and `call update` share.
fn parse_call_args(mut args: Args<'_>) -> Result<CallArgs<'_>, Refusal> {
    Ok(CallArgs {
        device: args.take_required("device")?,
        call: args.take_required("call")?,
        of: args.take_optional("of"),
        ani: args.take_or_unknown("ani"),
        dnis: args.take_or_unknown("dnis"),
        direction: args.parse_optional("direction", Direction::parse)?,
        group: args.take_or_unknown("group"),
        gate: args.take_or_unknown("gate"),
        agent: args.take_optional("agent"),
        altered: Vec::new(),
    })
}
