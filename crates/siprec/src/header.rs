//! Parts of header values: lists, addresses with parameters, `Via`, and where a URI points to.
//!
//! Values stay text: what a peer wrote is copied into responses as it wrote it.

use crate::limits::IDENTIFIER_BYTES_MAX;
use crate::peer::{Peer, Transport};
use std::net::{IpAddr, SocketAddr};

/// The port of SIP without TLS (RFC 3261 §19.1.2).
const PORT: u16 = 5060;
/// The port of SIP over TLS.
const TLS_PORT: u16 = 5061;

/// A URI, and the parameters of the header field behind it, with their semicolons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    pub uri: &'a str,
    pub parameters: &'a str,
}

/// Reads `"Name" <uri>;parameters` or `uri;parameters`.
pub(crate) fn parse_address(value: &str) -> Option<Address<'_>> {
    let outside = scan_outside_quotes(value);
    let address = match outside.clone().find(|(_, character)| *character == '<') {
        Some((open, _)) => {
            let close = open + value[open..].find('>')?;
            Address { uri: &value[open + 1..close], parameters: &value[close + 1..] }
        }
        None => {
            let end = value.find(';').unwrap_or(value.len());
            Address { uri: &value[..end], parameters: &value[end..] }
        }
    };
    let uri = address.uri.trim();
    let plain = !uri.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
    (plain && uri.contains(':')).then_some(Address { uri, parameters: address.parameters })
}

/// The value of a parameter; empty for one without a value. Quotes are taken off.
pub(crate) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    split_outside_quotes(parameters, ';').find_map(|item| {
        let (key, value) = item.split_once('=').unwrap_or((item, ""));
        let value = value.trim();
        let plain = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        key.trim().eq_ignore_ascii_case(name).then_some(plain.unwrap_or(value))
    })
}

/// The items of a list with commas. Commas in quotes or angle brackets do not count.
pub(crate) fn split_list(value: &str) -> impl Iterator<Item = &str> {
    split_outside_quotes(value, ',').map(str::trim).filter(|item| !item.is_empty())
}

/// Characters with their places, without those in double quotes.
fn scan_outside_quotes(value: &str) -> impl Iterator<Item = (usize, char)> + Clone + '_ {
    let (mut quoted, mut escaped) = (false, false);
    value.char_indices().filter(move |(_, character)| {
        let inside = quoted;
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        !inside && !quoted
    })
}

fn split_outside_quotes(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let cuts = scan_outside_quotes(value).filter_map(move |(at, character)| {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth == 0 && character == separator).then_some(at)
    });
    let mut from = 0;
    cuts.chain(std::iter::once(value.len())).map(move |to| {
        let item = value.get(from..to).unwrap_or_default();
        from = to + separator.len_utf8();
        item
    })
}

/// The first `Via`: which transaction a message belongs to, and where its response goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Via {
    /// `host` or `host:port`, as it was written.
    pub sent_by: String,
    /// Empty from elements older than RFC 3261.
    pub branch: String,
    /// Whether the response shall go to the port it came from (RFC 3581).
    pub rport: bool,
}

impl Via {
    /// Reads one value, `SIP/2.0/UDP host:port;branch=…`.
    pub fn parse(value: &str) -> Option<Via> {
        let end = value.find(';').unwrap_or(value.len());
        let mut parts = value[..end].splitn(3, '/').map(str::trim);
        let (name, version, rest) = (parts.next()?, parts.next()?, parts.next()?);
        if !name.eq_ignore_ascii_case("SIP") || version != "2.0" {
            return None;
        }
        let (_, sent_by) = rest.split_once(|character: char| character.is_ascii_whitespace())?;
        let sent_by: String = sent_by.split_ascii_whitespace().collect();
        let branch = parameter(&value[end..], "branch").unwrap_or_default();
        if sent_by.is_empty() || sent_by.len().max(branch.len()) > IDENTIFIER_BYTES_MAX {
            return None;
        }
        let rport = parameter(&value[end..], "rport").is_some();
        Some(Via { sent_by, branch: branch.to_owned(), rport })
    }

    /// Whether the branch is unique by itself (RFC 3261 §8.1.1.7).
    pub fn is_branch_unique(&self) -> bool {
        const COOKIE: &str = "z9hG4bK";
        self.branch.len() > COOKIE.len() && self.branch.starts_with(COOKIE)
    }

    fn split_sent_by(&self) -> (&str, Option<u16>) {
        split_host_port(&self.sent_by)
    }
}

/// The value of the first `Via` as the response repeats it: with `received` and `rport`
/// (RFC 3261 §18.2.1, RFC 3581 §4).
pub(crate) fn mark_received(value: &str, via: &Via, remote: SocketAddr) -> String {
    let mut marked: String = value
        .split(';')
        .filter(|item| {
            let key = item.split('=').next().unwrap_or_default().trim();
            !key.eq_ignore_ascii_case("rport") && !key.eq_ignore_ascii_case("received")
        })
        .collect::<Vec<&str>>()
        .join(";");
    let same_host = parse_ip(via.split_sent_by().0) == Some(remote.ip());
    if via.rport || !same_host {
        marked.push_str(&format!(";received={}", remote.ip()));
    }
    if via.rport {
        marked.push_str(&format!(";rport={}", remote.port()));
    }
    marked
}

/// Where the response to a request goes (RFC 3261 §18.2.2).
pub(crate) fn response_peer(via: &Via, from: &Peer) -> Peer {
    let mut peer = *from;
    if from.transport == Transport::Udp && !via.rport {
        peer.remote.set_port(via.split_sent_by().1.unwrap_or(PORT));
    }
    peer
}

/// The address that a URI names, if it is a literal one.
pub(crate) fn uri_address(uri: &str, transport: Transport) -> Option<SocketAddr> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
        return None;
    }
    let rest = rest.split(['?']).next().unwrap_or_default();
    // A user part may have semicolons of its own.
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split(';').next().unwrap_or_default();
    let (host, port) = split_host_port(host);
    let default = if transport == Transport::Tls { TLS_PORT } else { PORT };
    Some(SocketAddr::new(parse_ip(host)?, port.unwrap_or(default)))
}

fn split_host_port(text: &str) -> (&str, Option<u16>) {
    let colon = text.rfind(':').filter(|colon| !text[*colon..].contains(']'));
    match colon {
        Some(colon) => (&text[..colon], text[colon + 1..].parse().ok()),
        None => (text, None),
    }
}

fn parse_ip(host: &str) -> Option<IpAddr> {
    let plain = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    plain.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_all_forms() {
        let rows = [
            ("<sip:a@192.0.2.1;lr>;tag=x", "sip:a@192.0.2.1;lr", "x"),
            ("sip:a@192.0.2.1;tag=x", "sip:a@192.0.2.1", "x"),
            ("\"A <b>; \\\"c\" <tel:+12025550123> ; TAG = x", "tel:+12025550123", "x"),
            ("Anna <sip:my_host>;tag=\"x\"", "sip:my_host", "x"),
        ];
        for (value, uri, tag) in rows {
            let address = parse_address(value).unwrap();
            assert_eq!(address.uri, uri);
            assert_eq!(parameter(address.parameters, "tag"), Some(tag), "{value}");
        }
        for value in ["", "<sip:a", "anna", "<sip:a b>", "\"<sip:a>"] {
            assert_eq!(parse_address(value), None, "{value}");
        }
    }

    #[test]
    fn lists_are_cut_outside_of_quotes_and_brackets() {
        let items: Vec<&str> = split_list("<sip:a,b>;x, \"c, d\" <sip:e>,, f").collect();
        assert_eq!(items, ["<sip:a,b>;x", "\"c, d\" <sip:e>", "f"]);
        assert_eq!(split_list("").count(), 0);
    }

    #[test]
    fn via_is_read_and_marked_by_rfc_3581() {
        let text = "SIP/2.0/UDP 192.0.2.7:5062;rport;branch=z9hG4bK1";
        let via = Via::parse(text).unwrap();
        assert!(via.rport && via.is_branch_unique());
        let remote: SocketAddr = "198.51.100.9:40000".parse().unwrap();
        assert_eq!(
            mark_received(text, &via, remote),
            "SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK1;received=198.51.100.9;rport=40000"
        );
        let text = "SIP / 2.0 / UDP  first.example.com: 4000;ttl=16 ;branch=z9hG4bKk";
        let via = Via::parse(text).unwrap();
        assert_eq!(via.sent_by, "first.example.com:4000");
        let marked = mark_received(text, &via, remote);
        assert!(marked.ends_with(";received=198.51.100.9"), "{marked}");
        let text = "SIP/2.0/UDP [2001:db8::9]:5062;branch=z9hG4bK1";
        let via = Via::parse(text).unwrap();
        let same: SocketAddr = "[2001:db8::9]:5062".parse().unwrap();
        assert_eq!(mark_received(text, &via, same), text);
    }

    #[test]
    fn responses_go_to_the_port_that_the_via_names() {
        let peer = Peer {
            transport: Transport::Udp,
            remote: "192.0.2.7:40000".parse().unwrap(),
            local: "192.0.2.1:5060".parse().unwrap(),
            connection: 0,
        };
        let port = |text: &str, transport| {
            let via = Via::parse(text).unwrap();
            response_peer(&via, &Peer { transport, ..peer }).remote.port()
        };
        assert_eq!(port("SIP/2.0/UDP 192.0.2.7:5062;branch=b", Transport::Udp), 5062);
        assert_eq!(port("SIP/2.0/UDP 192.0.2.7;branch=b", Transport::Udp), 5060);
        assert_eq!(port("SIP/2.0/UDP 192.0.2.7:5062;branch=b;rport", Transport::Udp), 40_000);
        assert_eq!(port("SIP/2.0/TCP 192.0.2.7:5062;branch=b", Transport::Tcp), 40_000);
    }

    #[test]
    fn literal_addresses_of_uris_are_found() {
        let rows = [
            ("sip:srs@192.0.2.1:5090;transport=tcp", Some("192.0.2.1:5090")),
            ("sip:a;b=c@192.0.2.1", Some("192.0.2.1:5060")),
            ("sips:[2001:db8::1]", Some("[2001:db8::1]:5061")),
            ("sip:sbc.example.com", None),
            ("tel:+12025550123", None),
        ];
        for (uri, address) in rows {
            let transport = if uri.starts_with("sips") { Transport::Tls } else { Transport::Udp };
            assert_eq!(uri_address(uri, transport), address.map(|a| a.parse().unwrap()), "{uri}");
        }
    }
}
