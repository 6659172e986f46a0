//! The decoders of one leg: one for each payload type, and a second one for late packets of
//! codecs with memory, so that a late packet does not disturb the audio that follows.

use super::super::codec::{Decoded, PayloadDecoder};
use super::super::leg_config::RtpCodec;
use super::super::reorder::ReorderQueue;

pub(super) struct Decoders {
    each: Vec<PayloadTypeDecoder>,
    /// Packets that wait for an earlier one.
    pub waiting: ReorderQueue,
    /// Sequence number of the last packet decoded in order.
    last: Option<u16>,
    /// The same of the last late packet.
    last_late: Option<u16>,
}

struct PayloadTypeDecoder {
    payload_type: u8,
    decoder: PayloadDecoder,
    late: Option<PayloadDecoder>,
}

/// Sequence number, timestamp and payload type.
type Key = (u16, u32, u8);

impl Decoders {
    pub fn empty() -> Decoders {
        let waiting = ReorderQueue::new(false);
        Decoders { each: Vec::new(), waiting, last: None, last_late: None }
    }

    pub fn new(payloads: &[(u8, RtpCodec)], rate: u32) -> Result<Decoders, &'static str> {
        let mut each = Vec::with_capacity(payloads.len());
        for (payload_type, codec) in payloads {
            let Some(decoder) = PayloadDecoder::new(*codec, rate)? else { continue };
            let late = match decoder.is_stateless() {
                true => None,
                false => PayloadDecoder::new(*codec, rate)?,
            };
            each.push(PayloadTypeDecoder { payload_type: *payload_type, decoder, late });
        }
        let waiting = ReorderQueue::new(each.iter().any(|entry| entry.late.is_some()));
        Ok(Decoders { each, waiting, last: None, last_late: None })
    }

    /// Forgets the order of the packets, and those that wait.
    pub fn forget(&mut self) {
        self.waiting.clear();
        (self.last, self.last_late) = (None, None);
    }

    pub fn is_stateless(&self, payload_type: u8) -> bool {
        let found = self.each.iter().find(|entry| entry.payload_type == payload_type);
        found.is_none_or(|entry| entry.late.is_none())
    }

    /// Frames of a payload, without decoding it.
    pub fn frames_of(&self, payload_type: u8, payload: &[u8]) -> Option<u64> {
        let found = self.each.iter().find(|entry| entry.payload_type == payload_type)?;
        found.decoder.frames_of(payload)
    }

    /// Records a packet that needs no decoder.
    pub fn skip(&mut self, sequence: u16) {
        if self.last.is_some_and(|last| last.wrapping_add(1) == sequence) {
            self.last = Some(sequence);
        }
    }

    pub fn last_sequence(&self) -> Option<u16> {
        self.last
    }

    /// Whether the oldest waiting packet follows the last decoded one.
    pub fn is_next_waiting(&self) -> bool {
        let next = self.last.map(|last| last.wrapping_add(1));
        self.waiting.first().is_some_and(|waiting| Some(waiting.sequence) == next)
    }

    pub fn decode(&mut self, payload_type: u8, payload: &[u8], scratch: &mut [i16]) -> Decoded {
        match self.find(payload_type) {
            Some(entry) => entry.decoder.decode(payload, scratch),
            None => Decoded::Malformed,
        }
    }

    /// Decodes the packet that comes next in order.
    pub fn decode_next(&mut self, key: Key, payload: &[u8], scratch: &mut [i16]) -> Decoded {
        self.last = Some(key.0);
        self.decode(key.2, payload, scratch)
    }

    /// Decodes a packet whose successors are decoded.
    pub fn decode_late(&mut self, key: Key, payload: &[u8], scratch: &mut [i16]) -> Decoded {
        let follows = self.last_late.map(|last| last.wrapping_add(1)) == Some(key.0);
        self.last_late = Some(key.0);
        let Some(late) = self.find(key.2).and_then(|entry| entry.late.as_mut()) else {
            return Decoded::Malformed;
        };
        if !follows {
            late.reset();
        }
        late.decode(payload, scratch)
    }

    fn find(&mut self, payload_type: u8) -> Option<&mut PayloadTypeDecoder> {
        self.each.iter_mut().find(|entry| entry.payload_type == payload_type)
    }
}
