//! Dialogs with recording clients (RFC 3261 §12), and their form for storage.

use crate::answer::AnswerWriter;
use crate::header::{parse_address, split_list, uri_address};
use crate::limits::{ROUTES_MAX, URI_BYTES_MAX};
use crate::message::{Head, MessageError, Method, Request};
use crate::offer::Offer;
use crate::peer::{Peer, Transmit, Transport};
use crate::response::{RequestEcho, write_line};
use crate::transaction::{TransactionKey, hash};
use ezk_sip_types::Name;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// All that a dialog needs to go on after a restart of the box.
///
/// The host stores it sealed: `answers` and `local_description` hold SRTP keys.
#[derive(Clone, PartialEq, Eq)]
pub struct DialogSnapshot {
    pub call_id: String,
    pub local_tag: String,
    pub remote_tag: String,
    /// The client's `To`, as it was written, without our tag.
    pub local_address: String,
    /// The client's `From`, as it was written, with its tag.
    pub remote_address: String,
    /// The URI of the client's `Contact`.
    pub remote_target: String,
    /// The client's `Record-Route`, in its order.
    pub routes: Vec<String>,
    /// The number of our last request; 0: none yet.
    pub local_cseq: u32,
    /// The number of the client's last request.
    pub remote_cseq: u32,
    /// Where the client's last request came from.
    pub peer: Peer,
    /// The session interval of RFC 4028 in seconds, if there is one.
    pub interval_s: Option<u32>,
    /// What the next answer goes on from.
    pub answers: AnswerWriter,
    /// The session description that was answered last.
    pub local_description: Zeroizing<Vec<u8>>,
}

/// A snapshot names no callers, but it holds keys.
impl fmt::Debug for DialogSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialogSnapshot")
            .field("peer", &self.peer)
            .field("remote_cseq", &self.remote_cseq)
            .field("interval_s", &self.interval_s)
            .finish_non_exhaustive()
    }
}

/// Names a dialog by Call-ID and tags, in a size that does not depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DialogId([u8; 16]);

impl DialogId {
    /// The dialog that a request with a `To` tag belongs to.
    pub fn of_request(request: &Request<'_>) -> DialogId {
        DialogId::of_answered(request, &request.to_tag)
    }

    /// The dialog that a request begins when it is answered with a tag.
    pub fn of_answered(request: &Request<'_>, local_tag: &str) -> DialogId {
        DialogId(hash(&[&request.call_id, local_tag, &request.from_tag]))
    }

    pub fn of_snapshot(snapshot: &DialogSnapshot) -> DialogId {
        DialogId(hash(&[&snapshot.call_id, &snapshot.local_tag, &snapshot.remote_tag]))
    }
}

/// How far a dialog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first INVITE waits for the host.
    Offered,
    /// The first INVITE is accepted, its ACK did not come yet.
    Accepted,
    /// The first ACK came.
    Confirmed,
    /// The host has ended the session; the BYE waits for the ACK (RFC 3261 §15).
    Closing,
}

/// An INVITE or UPDATE, and what it changes when it is accepted.
#[derive(Debug)]
pub(crate) struct OfferRequest {
    pub transaction: TransactionKey,
    pub echo: RequestEcho,
    pub method: Method,
    pub cseq: u32,
    pub interval_s: Option<u32>,
    pub remote_target: Option<String>,
}

/// An offer that waits for the host.
#[derive(Debug)]
pub(crate) struct PendingOffer {
    pub request: OfferRequest,
    pub offer: Offer,
}

/// A 2xx whose ACK did not come yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unacknowledged {
    pub transaction: TransactionKey,
    pub cseq: u32,
}

/// A dialog.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub snapshot: DialogSnapshot,
    pub phase: Phase,
    pub pending: Option<PendingOffer>,
    pub unacknowledged: Option<Unacknowledged>,
}

/// The parts of a first INVITE that a dialog keeps.
pub(crate) struct DialogHeaders {
    pub remote_target: String,
    pub routes: Vec<String>,
    pub local_address: String,
    pub remote_address: String,
}

impl DialogHeaders {
    pub fn read(head: &Head<'_>) -> Result<DialogHeaders, MessageError> {
        let routes: Vec<String> =
            head.values(&Name::RECORD_ROUTE).flat_map(split_list).map(str::to_owned).collect();
        let fits = |route: &String| route.len() <= URI_BYTES_MAX && parse_address(route).is_some();
        if routes.len() > ROUTES_MAX || !routes.iter().all(fits) {
            return Err(MessageError::Malformed("Record-Route"));
        }
        Ok(DialogHeaders {
            remote_target: read_contact(head)?.ok_or(MessageError::Missing("Contact"))?,
            routes,
            local_address: read_bounded(head, &Name::TO, "To")?,
            remote_address: read_bounded(head, &Name::FROM, "From")?,
        })
    }
}

/// The URI of `Contact`, if there is one.
pub(crate) fn read_contact(head: &Head<'_>) -> Result<Option<String>, MessageError> {
    let Some(value) = head.value(&Name::CONTACT) else { return Ok(None) };
    let first = split_list(value).next().and_then(parse_address);
    let uri = first.map(|address| address.uri).filter(|uri| uri.len() <= URI_BYTES_MAX);
    uri.map(|uri| Some(uri.to_owned())).ok_or(MessageError::Malformed("Contact"))
}

fn read_bounded(head: &Head<'_>, name: &Name, label: &'static str) -> Result<String, MessageError> {
    let value = head.value(name).ok_or(MessageError::Missing(label))?;
    if value.len() > URI_BYTES_MAX {
        return Err(MessageError::Malformed(label));
    }
    Ok(value.to_owned())
}

impl Dialog {
    /// A BYE in this dialog, with its branch.
    pub fn write_bye(&mut self, branch: &str, contact_host: &str) -> Transmit {
        let snapshot = &mut self.snapshot;
        snapshot.local_cseq += 1;
        let peer = next_hop(snapshot);
        let transport = match peer.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        };
        let mut text = format!("BYE {} SIP/2.0\r\n", snapshot.remote_target);
        let via = format!("SIP/2.0/{transport} {contact_host};branch={branch};rport");
        write_line(&mut text, "Via", &via);
        for route in &snapshot.routes {
            write_line(&mut text, "Route", route);
        }
        let from = format!("{};tag={}", snapshot.local_address, snapshot.local_tag);
        write_line(&mut text, "From", &from);
        write_line(&mut text, "To", &snapshot.remote_address);
        write_line(&mut text, "Call-ID", &snapshot.call_id);
        write_line(&mut text, "CSeq", &format!("{} BYE", snapshot.local_cseq));
        write_line(&mut text, "Max-Forwards", "70");
        write_line(&mut text, "Content-Length", "0");
        text.push_str("\r\n");
        Transmit { peer, bytes: text.into_bytes() }
    }

    /// The connection is closed: a request of ours needs a new one.
    pub fn forget_connection(&mut self, connection: u64) {
        let snapshot = &mut self.snapshot;
        if snapshot.peer.connection == connection && snapshot.peer.transport.is_reliable() {
            snapshot.peer.connection = 0;
            snapshot.peer = next_hop(snapshot);
        }
    }

    /// When the session interval runs out, counted from a refresh.
    pub fn interval_deadline(&self, now: Duration) -> Option<Duration> {
        self.snapshot.interval_s.map(|seconds| now + Duration::from_secs(u64::from(seconds)))
    }
}

/// Where a request of ours goes: along an open connection, else to the first route or to the
/// contact if they name an address, else to where the last request came from.
fn next_hop(snapshot: &DialogSnapshot) -> Peer {
    let mut peer = snapshot.peer;
    if peer.transport.is_reliable() && peer.connection != 0 {
        return peer;
    }
    let route = snapshot.routes.first().and_then(|route| parse_address(route));
    let uri = route.map_or(snapshot.remote_target.as_str(), |address| address.uri);
    if let Some(address) = uri_address(uri, peer.transport) {
        peer.remote = address;
    }
    peer
}
