//! Session timers (RFC 4028), as a server that never refreshes.
//!
//! The client refreshes, whatever it proposed: a recorder whose refresh got lost would end the
//! recording (rule 22). Any request in the dialog counts as a refresh.

use crate::limits::MIN_SESSION_INTERVAL_S;
use crate::message::Head;
use crate::response::Reply;
use ezk_sip_types::header::typed::SessionExpires;
use ezk_sip_types::{Headers, Name};

/// The interval that the client asks for is shorter than `MIN_SESSION_INTERVAL_S`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IntervalTooSmall;

/// The session interval that holds from now on, in seconds. `None`: the client knows no session
/// timers, or asks for none, or its header cannot be read.
pub(crate) fn requested_interval(head: &Head<'_>) -> Result<Option<u32>, IntervalTooSmall> {
    let supported = head.lists(&Name::SUPPORTED, "timer") || head.lists(&Name::REQUIRE, "timer");
    let Some(value) = head.value(&Name::SESSION_EXPIRES).filter(|_| supported) else {
        // Without support, a proxy has added the header, and we would have to refresh (§9).
        return Ok(None);
    };
    let mut headers = Headers::new();
    headers.insert(Name::SESSION_EXPIRES, value);
    let Ok(expires) = headers.get_named::<SessionExpires>() else { return Ok(None) };
    if expires.delta_secs < MIN_SESSION_INTERVAL_S {
        return Err(IntervalTooSmall);
    }
    Ok(Some(expires.delta_secs))
}

/// Tells the client that it refreshes.
pub(crate) fn add_interval(reply: Reply, interval_s: Option<u32>) -> Reply {
    match interval_s {
        None => reply,
        Some(seconds) => reply
            .with("Session-Expires", &format!("{seconds};refresher=uac"))
            .with("Require", "timer"),
    }
}
