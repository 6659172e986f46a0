//! Reads the keys of a `[[board]]` of kind `sip`, a SIPREC recording server, and checks them across
//! the file.
//!
//! Such a board has no channels of its own in the file: each call that it may carry at a time has a
//! slot, and each slot is a channel of two sides. The slots are numbered from `FIRST_SLOT_ID` on.

use crate::config::bounds::*;
use crate::config::check::is_same_place;
use crate::config::error::{Diagnostics, quote_text};
use crate::config::parse::ConfigDraft;
use crate::config::table::{Located, TableReader};
use crate::config::{BoardKind, BoardSettings, ChannelSettings, ListenSettings};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Channel number of the first slot of the first `sip` board.
pub const FIRST_SLOT_ID: u16 = 10_000;

/// UDP ports of one call: RTP and RTCP of two legs.
pub const PORTS_PER_CALL: u32 = 4;

/// A SIPREC recording server and its RTP ports.
#[derive(Clone, Debug, PartialEq)]
pub struct SipSettings {
    /// Where recording clients send SIP.
    pub listen: Vec<SipListen>,
    /// Address that answers name for RTP; `None`: the address that the request came to.
    pub address: Option<IpAddr>,
    /// First and last RTP port; the first is even.
    pub ports: (u16, u16),
    /// Maximum calls at a time.
    pub calls: u16,
    /// Networks that may send; empty: loopback only.
    pub peers: Vec<AddressBlock>,
    /// User parts that are phones of this site; empty: the phones of all agents.
    pub devices: Vec<String>,
    /// Codecs that are accepted, preferred first.
    pub codecs: Vec<RtpCodecKind>,
    pub srtp: SrtpMode,
    pub when_down: WhenDown,
}

/// Where a `sip` board listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipListen {
    pub transport: SipTransport,
    pub address: SocketAddr,
}

impl std::fmt::Display for SipListen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}", self.transport.as_str(), self.address)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SipTransport {
    Udp,
    Tcp,
    Tls,
}

impl SipTransport {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SipTransport::Udp => "udp",
            SipTransport::Tcp => "tcp",
            SipTransport::Tls => "tls",
        }
    }
}

/// A codec of RTP audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpCodecKind {
    Pcmu,
    Pcma,
    Opus,
    G722,
    G729,
}

/// Whether media must be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpMode {
    /// Encrypted media is refused.
    Off,
    /// Media is encrypted if the offer asks for it.
    Offered,
    /// Media in clear text is refused.
    Required,
}

/// What happens to new calls while the disk is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDown {
    /// They are recorded as far as memory allows.
    #[default]
    Take,
    /// They are refused, so that the recording client uses its next recorder.
    Refuse,
}

/// A range of addresses: those with the same first `prefix` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressBlock {
    address: IpAddr,
    prefix: u8,
}

impl AddressBlock {
    /// Whether the block has this address. An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let (own, width) = to_bits(self.address);
        let (other, other_width) = to_bits(address.to_canonical());
        let ignored = u32::from(width - self.prefix);
        width == other_width && (own ^ other).checked_shr(ignored).unwrap_or(0) == 0
    }

    fn parse(text: &str) -> Option<AddressBlock> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().ok()?.to_canonical();
        let (bits, width) = to_bits(address);
        let prefix = prefix.unwrap_or(width);
        let is_valid = prefix <= width && bits.trailing_zeros() >= u32::from(width - prefix);
        is_valid.then_some(AddressBlock { address, prefix })
    }
}

/// The bits of an address, and how many it has.
fn to_bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

impl SipSettings {
    /// Whether this address may send SIP to the board.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        if self.peers.is_empty() {
            return address.to_canonical().is_loopback();
        }
        self.peers.iter().any(|block| block.contains(address))
    }

    /// The address to which RTP sockets are bound: that of the listeners if it is only one.
    #[must_use]
    pub fn rtp_bind_address(&self) -> IpAddr {
        let mut addresses = self.listen.iter().map(|listen| listen.address.ip());
        let first = addresses.next().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let mut is_v6 = first.is_ipv6();
        let mut is_single = true;
        for address in addresses {
            is_v6 |= address.is_ipv6();
            is_single &= address == first;
        }
        match (is_single, is_v6) {
            (true, _) => first,
            (false, true) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            (false, false) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }
}

/// Where the values of a `sip` board stand in the file.
pub(super) struct SipOffsets {
    pub listen: Vec<usize>,
    pub ports: usize,
    pub calls: usize,
    /// Whether the file names no listener at all, not even a wrong one.
    pub has_no_listener: bool,
}

/// The slots of a board as channels, the first one with number `first`.
pub(super) fn slot_channels(calls: u16, first: u16) -> impl Iterator<Item = ChannelSettings> {
    (0..calls).map(move |slot| ChannelSettings {
        id: first.saturating_add(slot),
        device: String::new(),
        sides: 2,
        slots: Vec::new(),
        source: None,
        script: Vec::new(),
    })
}

/// The keys of a `sip` board.
pub(super) struct SipKeys {
    pub settings: SipSettings,
    pub offsets: SipOffsets,
    pub mask_digits: bool,
}

/// Reads the keys of a `sip` board. They are read for every kind, so that errors know them.
pub(super) fn read_sip(table: &mut TableReader<'_>) -> SipKeys {
    let at = table.offset;
    let (listen, has_no_listener) = read_listeners(table);
    let (ports, ports_at) = read_ports(table);
    let calls = table.read_number("calls", SIP_CALLS);
    let calls_at = calls.as_ref().map_or(at, |found| found.offset);
    let srtp =
        [("off", SrtpMode::Off), ("offered", SrtpMode::Offered), ("required", SrtpMode::Required)];
    let down = [("take", WhenDown::Take), ("refuse", WhenDown::Refuse)];
    let peers = read_peers(table);
    let devices = table.read_texts("devices", &NAME, LIST_MAX);
    let settings = SipSettings {
        address: read_address(table),
        ports,
        calls: calls.map_or(SIP_CALLS_DEFAULT, |found| found.value),
        peers,
        devices: devices.into_iter().map(|device| device.value).collect(),
        codecs: read_codecs(table),
        srtp: table.read_word("srtp", &srtp).map_or(SrtpMode::Offered, |word| word.value),
        when_down: table.read_word("when_down", &down).map_or(WhenDown::Take, |word| word.value),
        listen: listen.iter().map(|found| found.value).collect(),
    };
    let listen = listen.into_iter().map(|found| found.offset).collect();
    let mask_digits = table.read_word("mask_digits", &[("lead", true), ("off", false)]);
    let ports = ports_at.unwrap_or(at);
    SipKeys {
        settings,
        offsets: SipOffsets { listen, ports, calls: calls_at, has_no_listener },
        mask_digits: mask_digits.is_none_or(|word| word.value),
    }
}

/// Returns the valid listeners, and whether the file has none at all.
fn read_listeners(table: &mut TableReader<'_>) -> (Vec<Located<SipListen>>, bool) {
    let texts = table.read_texts("listen", &PATH, SIP_LISTENERS_MAX);
    let has_no_listener = texts.is_empty();
    let mut found = Vec::new();
    for text in texts {
        match parse_listen(&text.value) {
            Some(value) => found.push(Located { offset: text.offset, value }),
            None => {
                let text_found = format!(
                    "found {}, allowed a transport, a numeric address and a port, like \
                     udp:127.0.0.1:5060, tcp:[::1]:5060 or tls:0.0.0.0:5061",
                    quote_text(&text.value)
                );
                table.report_invalid(text.offset, "listen", text_found);
            }
        }
    }
    (found, has_no_listener)
}

fn parse_listen(text: &str) -> Option<SipListen> {
    let (word, address) = text.split_once(':')?;
    let transports = [SipTransport::Udp, SipTransport::Tcp, SipTransport::Tls];
    let transport = transports.into_iter().find(|transport| transport.as_str() == word)?;
    Some(SipListen { transport, address: address.parse().ok()? })
}

fn read_ports(table: &mut TableReader<'_>) -> ((u16, u16), Option<usize>) {
    let Some(found) = table.read_text("ports", &TEXT) else { return (SIP_PORTS_DEFAULT, None) };
    let ends = found.value.split_once('-');
    let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let fits = |(first, last): &(u16, u16)| first <= last && *first >= SIP_PORT_MIN;
    match ends.filter(fits) {
        Some((first, last)) if first % 2 == 0 => ((first, last), Some(found.offset)),
        Some((first, _)) => {
            let text = format!("found the first port {first}, allowed an even one for RTP");
            table.report_invalid(found.offset, "ports", text);
            (SIP_PORTS_DEFAULT, Some(found.offset))
        }
        None => {
            let text = format!(
                "found {}, allowed the first and the last port, {SIP_PORT_MIN} to 65535, like \
                 \"20000-23999\"",
                quote_text(&found.value)
            );
            table.report_invalid(found.offset, "ports", text);
            (SIP_PORTS_DEFAULT, Some(found.offset))
        }
    }
}

fn read_address(table: &mut TableReader<'_>) -> Option<IpAddr> {
    let found = table.read_text("address", &TEXT)?;
    let address = found.value.parse::<IpAddr>().ok().filter(|ip| !ip.is_unspecified());
    if address.is_none() {
        let text = format!(
            "found {}, allowed a numeric address that recording clients reach, like 192.0.2.10",
            quote_text(&found.value)
        );
        table.report_invalid(found.offset, "address", text);
    }
    address
}

fn read_peers(table: &mut TableReader<'_>) -> Vec<AddressBlock> {
    let texts = table.read_texts("peers", &TEXT, SIP_PEERS_MAX);
    let mut blocks = Vec::new();
    for text in texts {
        match AddressBlock::parse(&text.value) {
            Some(block) => blocks.push(block),
            None => {
                let found = format!(
                    "found {}, allowed a numeric address or network, like 192.0.2.7, \
                     192.0.2.0/24 or 2001:db8::/32",
                    quote_text(&text.value)
                );
                table.report_invalid(text.offset, "peers", found);
            }
        }
    }
    blocks
}

fn read_codecs(table: &mut TableReader<'_>) -> Vec<RtpCodecKind> {
    let words = [
        ("pcmu", RtpCodecKind::Pcmu),
        ("pcma", RtpCodecKind::Pcma),
        ("opus", RtpCodecKind::Opus),
        ("g722", RtpCodecKind::G722),
        ("g729", RtpCodecKind::G729),
    ];
    let at = table.value_offset("codecs");
    let texts = table.read_texts("codecs", &TEXT, words.len());
    let mut codecs = Vec::new();
    for text in &texts {
        match words.iter().find(|(word, _)| *word == text.value) {
            Some((_, codec)) => codecs.push(*codec),
            None => {
                let allowed = words.map(|(word, _)| format!("{word:?}")).join(", ");
                let found = format!("found {}, allowed {allowed}", quote_text(&text.value));
                table.report_invalid(text.offset, "codecs", found);
            }
        }
    }
    match at {
        None => words.map(|(_, codec)| codec).to_vec(),
        Some(at) => {
            if texts.is_empty() {
                let text = "found no codec, allowed at least one: no call could be recorded";
                table.report_invalid(at, "codecs", text.to_owned());
            }
            codecs
        }
    }
}

/// Checks a `sip` board on its own, once all its keys are read.
pub(super) fn check_sip_keys(table: &mut TableReader<'_>, sip: &SipSettings, offsets: &SipOffsets) {
    if offsets.has_no_listener {
        table.report_missing("listen", "a list of listeners, like [\"tcp:127.0.0.1:5060\"]");
    }
    let ports = u32::from(sip.ports.1) - u32::from(sip.ports.0) + 1;
    let needed = u32::from(sip.calls) * PORTS_PER_CALL;
    if ports < needed {
        let text = format!(
            "found {}-{}, {ports} ports, allowed at least {needed} for calls = {}: \
             {PORTS_PER_CALL} a call, RTP and RTCP of two legs",
            sip.ports.0, sip.ports.1, sip.calls
        );
        table.report_conflict(offsets.ports, "ports", text);
    }
    let mut listeners = sip.listen.iter().zip(&offsets.listen);
    let everywhere = |(listen, _): &(&SipListen, &usize)| listen.address.ip().is_unspecified();
    if let Some((listen, at)) = listeners.clone().find(everywhere)
        && sip.address.is_none()
    {
        let text = format!(
            "found {listen} without address: answers must name one address for RTP; set address"
        );
        table.report_conflict(*at, "listen", text);
    }
    let beyond = |(listen, _): &(&SipListen, &usize)| !listen.address.ip().is_loopback();
    if let Some((listen, at)) = listeners.find(beyond)
        && sip.peers.is_empty()
    {
        let text = format!("found {listen}, but no peers: only this machine may send calls");
        table.report_warning(*at, "listen", text);
    }
    let has_tls = sip.listen.iter().any(|listen| listen.transport == SipTransport::Tls);
    if sip.srtp == SrtpMode::Required
        && !has_tls
        && let Some(at) = offsets.listen.first()
    {
        let text = "found no tls with srtp = \"required\": the keys of the media arrive in clear \
                    text";
        table.report_warning(*at, "listen", text.to_owned());
    }
}

/// Checks `sip` boards against each other and against the other listeners and channels.
pub(super) fn check_sip_boards(draft: &ConfigDraft, notes: &mut Diagnostics) {
    let mut ranges: Vec<((u16, u16), usize)> = Vec::new();
    let mut places: Vec<(SipListen, usize)> = Vec::new();
    for (sip, offsets) in draft.sip_boards() {
        let (first, last) = sip.ports;
        let overlapping = ranges.iter().find(|((from, to), _)| first <= *to && *from <= last);
        if let Some((_, at)) = overlapping {
            let line = notes.line_number(*at);
            let text = format!("found {first}-{last}, allowed once: line {line} has some of them");
            notes.push_conflict(offsets.ports, "[[board]] ports", text);
        }
        ranges.push((sip.ports, offsets.ports));
        for (listen, at) in sip.listen.iter().zip(&offsets.listen) {
            if let Some(line) = line_of_clash(draft, &places, *listen, notes) {
                let text = format!("found {listen} again, allowed once: line {line} has it");
                notes.push_conflict(*at, "[[board]] listen", text);
            }
            places.push((*listen, *at));
        }
    }
    for (listen, at) in places.iter().filter(|(listen, _)| listen.transport == SipTransport::Udp) {
        let port = listen.address.port();
        let range = ranges.iter().find(|((first, last), _)| (*first..=*last).contains(&port));
        if let Some(((first, last), _)) = range {
            let text = format!("found port {port}, which is one of the RTP ports {first}-{last}");
            notes.push_conflict(*at, "[[board]] listen", text);
        }
    }
}

/// The line of a listener that the system would not open beside this one.
fn line_of_clash(
    draft: &ConfigDraft,
    places: &[(SipListen, usize)],
    listen: SipListen,
    notes: &Diagnostics,
) -> Option<u32> {
    let is_udp = |listen: &SipListen| listen.transport == SipTransport::Udp;
    let is_same = |(other, _): &&(SipListen, usize)| {
        is_udp(other) == is_udp(&listen) && is_same_place(other.address, listen.address)
    };
    let other = places.iter().find(is_same).map(|(_, at)| *at);
    let of_clients = draft.listen.iter().find(|found| match found.value {
        ListenSettings::Tcp { address, .. } => {
            !is_udp(&listen) && is_same_place(address, listen.address)
        }
        ListenSettings::Unix { .. } | ListenSettings::Serial { .. } => false,
    });
    other.or(of_clients.map(|found| found.offset)).map(|at| notes.line_number(at))
}

/// The keys of a `sip` board that a reload applies at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LiveSipKeys {
    peers: Vec<AddressBlock>,
    devices: Vec<String>,
    mask_digits: bool,
    when_down: WhenDown,
}

impl LiveSipKeys {
    pub fn of(board: &BoardSettings) -> Option<LiveSipKeys> {
        let BoardKind::Sip(sip) = &board.kind else { return None };
        Some(LiveSipKeys {
            peers: sip.peers.clone(),
            devices: sip.devices.clone(),
            mask_digits: board.mask_digits,
            when_down: sip.when_down,
        })
    }

    /// Replaces the live keys of a board.
    pub fn apply_to(self, board: &mut BoardSettings) {
        if let BoardKind::Sip(sip) = &mut board.kind {
            let LiveSipKeys { peers, devices, mask_digits, when_down } = self;
            (sip.peers, sip.devices) = (peers, devices);
            (board.mask_digits, sip.when_down) = (mask_digits, when_down);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_only() {
        let contains = |block: &str, address: &str| {
            AddressBlock::parse(block).unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("192.0.2.0/24", "192.0.2.255") && !contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("192.0.2.7", "::ffff:192.0.2.7"), "mapped into IPv6");
        assert!(contains("0.0.0.0/0", "198.51.100.1") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "192.0.2.1"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        for bad in ["192.0.2.7/24", "192.0.2.0/33", "::/129", "localhost", "192.0.2.0/", ""] {
            assert_eq!(AddressBlock::parse(bad), None, "{bad}");
        }
    }
}
