//! The legs of a recording session: which streams of an offer are recorded, and on which port.
//!
//! A slot has two legs, one for each side of its channel: agent left, customer right. The metadata
//! tells whose voice a stream carries. A stream keeps its leg over all offers of a session, because
//! the recording client goes on sending to the port that it was told.

use siprec::answer::{Acceptance, StreamAcceptance};
use siprec::call_facts::{Side, StreamFacts};
use siprec::codec::Codec;
use siprec::offer::{Offer, OfferedStream, SrtpPolicy, StreamRefusal, StreamSelection};
use std::net::{IpAddr, SocketAddr};

/// Legs of one call.
pub(in crate::recorder) const LEGS_MAX: usize = 2;

/// UDP ports between the first ports of two slots, and of two legs: RTP, and RTCP above it.
const PORTS_PER_SLOT: u16 = 4;
const PORTS_PER_LEG: u16 = 2;

/// One leg as the last offer and answer agreed on it.
#[derive(Clone, PartialEq, Eq)]
pub struct LegSettings {
    /// What the recorder takes of the stream.
    pub selection: StreamSelection,
    /// Whether the recording client sends; false while the stream is on hold.
    pub is_sending: bool,
    /// The address that the recording client announced.
    pub sender: Option<SocketAddr>,
}

/// The stream that a leg records.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::recorder) struct Leg {
    /// Index in the offer.
    pub stream: usize,
    pub label: Option<String>,
    /// `None`: the last offer has disabled the stream.
    pub settings: Option<LegSettings>,
}

/// What a board accepts.
pub(in crate::recorder) struct MediaPolicy<'a> {
    pub codecs: &'a [Codec],
    pub srtp: SrtpPolicy,
}

/// The legs of a slot, by side.
pub(in crate::recorder) type Legs = [Option<Leg>; LEGS_MAX];

/// The RTP port of a leg.
pub fn leg_port(first_port: u16, slot: usize, leg: usize) -> u16 {
    let slot = u16::try_from(slot).unwrap_or(u16::MAX);
    let leg = u16::try_from(leg).unwrap_or(u16::MAX);
    first_port
        .saturating_add(slot.saturating_mul(PORTS_PER_SLOT))
        .saturating_add(leg.saturating_mul(PORTS_PER_LEG))
}

/// Assigns the streams of an offer to the legs of a slot. Legs that a stream has already keep it.
///
/// # Errors
/// If no stream can be recorded: why the first one cannot.
pub(in crate::recorder) fn assign_legs(
    known: &Legs,
    offer: &Offer,
    facts: &[StreamFacts],
    policy: &MediaPolicy<'_>,
) -> Result<Legs, StreamRefusal> {
    let mut legs: Legs = [None, None];
    let mut refusal = None;
    let mut unplaced = Vec::new();
    for (index, stream) in offer.streams.iter().enumerate() {
        let settings = match stream.select(policy.codecs, policy.srtp) {
            Ok(selection) => Some(leg_settings(stream, selection)),
            Err(StreamRefusal::Disabled) => None,
            Err(error) => {
                refusal.get_or_insert(error);
                continue;
            }
        };
        let leg = Leg { stream: index, label: stream.label.clone(), settings };
        match known.iter().position(|old| old.as_ref().is_some_and(|old| is_same(old, &leg))) {
            Some(place) => legs[place] = Some(leg),
            None if leg.settings.is_some() => unplaced.push(leg),
            None => {}
        }
    }
    for leg in unplaced {
        let side = facts.iter().find(|fact| fact.index == leg.stream).map(|fact| fact.side);
        let wanted = match side {
            Some(Side::Theirs) => 1,
            Some(Side::Ours | Side::Mixed | Side::Unknown) | None => 0,
        };
        let is_free = |place: &usize| legs[*place].is_none() && known[*place].is_none();
        if let Some(place) = [wanted, 1 - wanted].into_iter().find(is_free) {
            legs[place] = Some(leg);
        }
    }
    let is_recorded = legs.iter().flatten().any(|leg| leg.settings.is_some());
    let was_recorded = known.iter().flatten().next().is_some();
    if is_recorded || was_recorded && refusal.is_none() {
        return Ok(legs);
    }
    Err(refusal.unwrap_or(StreamRefusal::Disabled))
}

/// Whether two streams are one. A stream keeps its label, and its place among the `m=` lines.
fn is_same(one: &Leg, other: &Leg) -> bool {
    one.stream == other.stream && (one.label == other.label || other.label.is_none())
}

fn leg_settings(stream: &OfferedStream, selection: StreamSelection) -> LegSettings {
    LegSettings {
        selection,
        is_sending: stream.direction.sends(),
        sender: stream.address.map(|address| SocketAddr::new(address, stream.port)),
    }
}

/// The answer to an offer whose streams have these legs.
pub(in crate::recorder) fn acceptance(
    address: IpAddr,
    offer: &Offer,
    legs: &Legs,
    ports: [u16; LEGS_MAX],
) -> Acceptance {
    let answer_stream = |index: usize| {
        let placed = legs.iter().zip(ports).find_map(|(leg, port)| {
            let leg = leg.as_ref().filter(|leg| leg.stream == index)?;
            Some((leg.settings.as_ref()?, port))
        });
        match placed {
            Some((settings, port)) => {
                StreamAcceptance::Accepted { port, selection: settings.selection.clone() }
            }
            None => StreamAcceptance::Refused,
        }
    };
    Acceptance { address, streams: (0..offer.streams.len()).map(answer_stream).collect() }
}

/// The settings of the legs, as the board opens them: one leg, or two in the order of the sides.
/// An unused first leg is silent.
pub(in crate::recorder) fn board_legs(legs: &Legs) -> [Option<LegSettings>; LEGS_MAX] {
    let settings = |leg: &Option<Leg>| leg.as_ref().and_then(|leg| leg.settings.clone());
    [settings(&legs[0]), settings(&legs[1])]
}
