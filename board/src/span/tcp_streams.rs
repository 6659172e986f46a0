//! TCP connections of signalling, as a listener in the middle sees them: each direction's bytes
//! in order.
//!
//! Segments that come too early wait, a few for each direction. If what is before them does not
//! come, the gap is accepted and said, so that the reader of the bytes looks for the next message.
//! At most `STREAMS_MAX` directions are followed; the one that was quiet longest gives way.

use std::net::SocketAddr;

/// Directions of connections that are followed.
const STREAMS_MAX: usize = 128;

/// Segments of one direction that wait.
const SEGMENTS_MAX: usize = 32;

/// How long a segment waits for those before it, in microseconds.
const WAIT_US: u64 = 500_000;

/// Bytes of one direction of a connection.
#[derive(Clone, Copy)]
pub(super) struct StreamBytes<'a> {
    /// Number of the direction, which is never used again.
    pub stream: u64,
    /// The bytes do not follow those before: first ones, or a gap.
    pub is_start: bool,
    pub bytes: &'a [u8],
}

/// A segment: place of its first byte, flags, payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpSegment<'a> {
    pub sequence: u32,
    pub is_first: bool,
    pub is_last: bool,
    pub payload: &'a [u8],
}

struct Stream {
    ends: (SocketAddr, SocketAddr),
    number: u64,
    /// Sequence number of the next byte.
    next: u32,
    is_start: bool,
    /// Segments that came too early, with the time of their arrival, sorted by place.
    waiting: Vec<(u32, u64, Vec<u8>)>,
    last_us: u64,
}

pub(super) struct TcpStreams {
    streams: Vec<Stream>,
    opened: u64,
    /// Gaps that were accepted.
    pub gaps: u64,
}

impl TcpStreams {
    pub fn new() -> TcpStreams {
        TcpStreams { streams: Vec::with_capacity(STREAMS_MAX), opened: 0, gaps: 0 }
    }

    /// Receives a segment from the first to the second address. `visit` gets the bytes that are
    /// in order now.
    pub fn receive(
        &mut self,
        now_us: u64,
        ends: (SocketAddr, SocketAddr),
        segment: TcpSegment<'_>,
        visit: &mut dyn FnMut(StreamBytes<'_>),
    ) {
        let found = self.streams.iter().position(|stream| stream.ends == ends);
        let index = match found {
            Some(index) if !segment.is_first => index,
            _ if segment.is_last && segment.payload.is_empty() => return,
            _ => self.begin(now_us, found, ends, &segment),
        };
        let stream = &mut self.streams[index];
        stream.last_us = now_us;
        if !segment.payload.is_empty() {
            // A SYN takes a place of its own.
            let place = segment.sequence.wrapping_add(u32::from(segment.is_first));
            stream.keep(now_us, place, segment.payload);
            self.gaps += u64::from(stream.deliver(now_us, visit));
        }
        if segment.is_last {
            self.streams.remove(index);
        }
    }

    fn begin(
        &mut self,
        now_us: u64,
        found: Option<usize>,
        ends: (SocketAddr, SocketAddr),
        segment: &TcpSegment<'_>,
    ) -> usize {
        let oldest = || {
            let ages = self.streams.iter().enumerate().map(|(n, stream)| (stream.last_us, n));
            ages.min().map(|(_, n)| n)
        };
        let is_full = self.streams.len() == STREAMS_MAX;
        if let Some(index) = found.or_else(|| if is_full { oldest() } else { None }) {
            self.streams.remove(index);
        }
        self.opened += 1;
        self.streams.push(Stream {
            ends,
            number: self.opened,
            next: segment.sequence.wrapping_add(u32::from(segment.is_first)),
            is_start: true,
            waiting: Vec::new(),
            last_us: now_us,
        });
        self.streams.len() - 1
    }
}

impl Stream {
    /// Keeps a segment's new bytes until their turn.
    fn keep(&mut self, now_us: u64, place: u32, payload: &[u8]) {
        let behind = self.next.wrapping_sub(place).cast_signed();
        let seen = usize::try_from(behind.max(0)).unwrap_or(0);
        let Some(fresh) = payload.get(seen..).filter(|fresh| !fresh.is_empty()) else { return };
        let place = if behind > 0 { self.next } else { place };
        let is_before = |other: u32| other.wrapping_sub(place).cast_signed() < 0;
        let index = self.waiting.iter().take_while(|(other, _, _)| is_before(*other)).count();
        self.waiting.insert(index, (place, now_us, fresh.to_vec()));
    }

    /// Passes on what is in order. Returns whether a gap was accepted.
    fn deliver(&mut self, now_us: u64, visit: &mut dyn FnMut(StreamBytes<'_>)) -> bool {
        let mut has_gap = false;
        while let Some((place, came_us, _)) = self.waiting.first() {
            let ahead = place.wrapping_sub(self.next).cast_signed();
            let is_full = self.waiting.len() > SEGMENTS_MAX;
            if ahead > 0 && !is_full && now_us.saturating_sub(*came_us) < WAIT_US {
                break;
            }
            let (place, _, bytes) = self.waiting.remove(0);
            if ahead > 0 {
                (self.next, self.is_start, has_gap) = (place, true, true);
            }
            // Bytes that came twice are passed once.
            let seen = usize::try_from(ahead.min(0).unsigned_abs()).unwrap_or(usize::MAX);
            let Some(fresh) = bytes.get(seen..).filter(|fresh| !fresh.is_empty()) else { continue };
            let is_start = std::mem::take(&mut self.is_start);
            visit(StreamBytes { stream: self.number, is_start, bytes: fresh });
            self.next = self.next.wrapping_add(u32::try_from(fresh.len()).unwrap_or(0));
        }
        has_gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Vec<(u64, bool, Vec<u8>)>);

    fn ends(port: u16) -> (SocketAddr, SocketAddr) {
        (SocketAddr::from(([192, 0, 2, 1], port)), SocketAddr::from(([192, 0, 2, 2], 5060)))
    }

    fn feed(streams: &mut TcpStreams, now_us: u64, port: u16, place: u32, text: &str) -> Heard {
        let mut heard = Heard::default();
        let segment = TcpSegment {
            sequence: place,
            is_first: false,
            is_last: false,
            payload: text.as_bytes(),
        };
        streams.receive(now_us, ends(port), segment, &mut |bytes| {
            heard.0.push((bytes.stream, bytes.is_start, bytes.bytes.to_vec()));
        });
        heard
    }

    #[test]
    fn segments_come_out_in_order_and_once_over_the_wrap() {
        let mut streams = TcpStreams::new();
        let syn =
            TcpSegment { sequence: u32::MAX - 3, is_first: true, is_last: false, payload: &[] };
        streams.receive(0, ends(1), syn, &mut |_| panic!("no bytes"));
        let first = u32::MAX - 2;
        assert_eq!(feed(&mut streams, 0, 1, first.wrapping_add(6), "ghi").0, []);
        let heard = feed(&mut streams, 0, 1, first, "abcd");
        assert_eq!(heard.0, [(1, true, b"abcd".to_vec())]);
        assert_eq!(feed(&mut streams, 0, 1, first, "abcd").0, [], "sent twice");
        let heard = feed(&mut streams, 0, 1, first.wrapping_add(2), "cdefgh");
        let rest = [(1, false, b"efgh".to_vec()), (1, false, b"i".to_vec())];
        assert_eq!(heard.0, rest, "overlapping ones are cut");
        assert_eq!(streams.gaps, 0);
    }

    #[test]
    fn a_gap_is_accepted_after_a_while_and_said() {
        let mut streams = TcpStreams::new();
        assert_eq!(feed(&mut streams, 0, 1, 100, "ab").0.len(), 1, "joined in the middle");
        assert_eq!(feed(&mut streams, 0, 1, 110, "kl").0, []);
        let heard = feed(&mut streams, 600_000, 1, 112, "mn");
        assert_eq!(heard.0, [(1, true, b"kl".to_vec()), (1, false, b"mn".to_vec())]);
        assert_eq!(streams.gaps, 1);
        for n in 0..=u32::try_from(SEGMENTS_MAX).unwrap() {
            feed(&mut streams, 600_000, 1, 200 + n, "x");
        }
        assert_eq!(streams.gaps, 2, "too many wait");
        assert_eq!(streams.streams[0].waiting.len(), 0);
    }

    #[test]
    fn a_connection_begins_anew_and_ends_and_the_quietest_gives_way() {
        let mut streams = TcpStreams::new();
        feed(&mut streams, 0, 1, 100, "ab");
        let syn = TcpSegment { sequence: 500, is_first: true, is_last: false, payload: &[] };
        streams.receive(1, ends(1), syn, &mut |_| {});
        assert_eq!(feed(&mut streams, 1, 1, 501, "cd").0, [(2, true, b"cd".to_vec())]);
        let fin = TcpSegment { sequence: 503, is_first: false, is_last: true, payload: b"e" };
        let mut last = Vec::new();
        streams.receive(1, ends(1), fin, &mut |bytes| last.extend_from_slice(bytes.bytes));
        assert_eq!((last.as_slice(), streams.streams.len()), (&b"e"[..], 0));
        for port in 1..=200 {
            feed(&mut streams, u64::from(port), port, 0, "x");
        }
        assert_eq!(streams.streams.len(), STREAMS_MAX);
        assert_eq!(streams.streams[0].ends, ends(73));
    }
}
