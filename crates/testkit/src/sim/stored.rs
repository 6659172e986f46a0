//! Reads a simulated disk back: samples and ledger of one recording, or the whole store.

use super::SimBox;
use hushbox::audio::codec::Decoder;
use hushbox::audio::span::{Fate, Ledger, LossReason, Run};
use hushbox::id::RecordingId;
use hushbox::store::fact::{Fact, FactSpan};
use hushbox::store::index::{Index, Record};
use hushbox::store::journal::{FIRST_SEQUENCE, JournalItem, JournalReader, superseded_limits};
use hushbox::store::media::{self, MediaHeader};
use hushbox::store::verify::{TrustAnchor, Verifier, VerifyReport};
use hushbox::store::{layout, seal};
use hushbox::time::Position;
use std::io::Read;

pub struct Stored {
    pub header: MediaHeader,
    /// All frames, interleaved; zero where nothing is stored.
    pub samples: Vec<i16>,
    pub runs: Vec<Run>,
    pub ledger: Ledger,
    pub spans: Vec<FactSpan>,
    pub to: Position,
    /// Whether the file has its trailer.
    pub complete: bool,
}

impl Stored {
    /// Number of stored frames in a span.
    pub fn frames_stored(&self, from: Position, to: Position) -> u64 {
        let (mut at, mut count) = (self.header.from, 0);
        for run in &self.runs {
            let end = at.plus(u64::from(run.frames));
            if run.fate.is_stored() {
                count += to.min(end).0.saturating_sub(from.max(at).0);
            }
            at = end;
        }
        count
    }

    /// The spans as text: `8000 stored, 16000 masked`.
    pub fn stretches(&self) -> String {
        let mut joined: Vec<(&str, u64)> = Vec::new();
        for run in &self.runs {
            let fate = run.fate.as_str();
            match joined.last_mut() {
                Some((last, frames)) if *last == fate => *frames += u64::from(run.frames),
                _ => joined.push((fate, u64::from(run.frames))),
            }
        }
        let words: Vec<String> = joined.iter().map(|(fate, n)| format!("{n} {fate}")).collect();
        words.join(", ")
    }

    /// Asserts that every stored sample is the board's at that position, and all others are 0, also
    /// those of a lost side. For
    /// `codec = "pcm"` only.
    pub fn check(&self, sim: &SimBox) {
        let sides = usize::from(self.header.sides);
        let fates = self.runs.iter().flat_map(|run| (0..run.frames).map(|_| run.fate));
        let frames = self.samples.chunks(sides).zip(fates);
        let boot = sim.born.get(&self.header.id).copied().unwrap_or(self.header.boot);
        for (position, (frame, fate)) in (self.header.from.0..).zip(frames) {
            for (side, found) in frame.iter().enumerate() {
                let heard = sim.heard(boot, self.header.channel, position, side);
                let lost = fate.lost_side().is_some_and(|lost| lost.index() == side);
                let wanted = if fate.is_stored() && !lost { heard } else { 0 };
                assert_eq!(*found, wanted, "{} at {position} ({fate:?})", self.header.id);
            }
        }
        let frames: u64 = self.runs.iter().map(|run| u64::from(run.frames)).sum();
        assert_eq!(self.samples.len() as u64, frames * sides as u64);
        let mut ledger = Ledger::default();
        self.runs.iter().for_each(|run| ledger.add_run(*run));
        assert_eq!(ledger, self.ledger, "the ledger adds up");
        assert_eq!(self.to.frames_since(self.header.from), frames, "the timeline keeps its length");
        // Of lost packets only the first spans are listed.
        let of_packets = |fate: Fate| fate.loss_reason().is_some_and(LossReason::is_of_packets);
        let listed = self.spans.iter().filter(|span| !of_packets(span.fate));
        let spanned: u64 = listed.map(|span| span.to.frames_since(span.from)).sum();
        let runs = self.runs.iter().filter(|run| run.fate != Fate::Stored && !of_packets(run.fate));
        let counted: u64 = runs.map(|run| u64::from(run.frames)).sum();
        assert_eq!(counted, spanned, "the spans add up");
    }
}

impl SimBox {
    /// Ids of all recordings that have a file.
    pub fn recordings(&self) -> Vec<RecordingId> {
        let media = self.disk.live.keys().filter_map(|path| layout::parse_media(path));
        media.map(|(_, id)| id).collect()
    }

    fn media_path(&self, id: RecordingId) -> &str {
        let of = |path: &&String| layout::parse_media(path).is_some_and(|(_, found)| found == id);
        self.disk.live.keys().find(of).expect("the recording has a file")
    }

    /// Decodes a recording with a single media file.
    pub fn stored(&self, id: &str) -> Stored {
        let id = RecordingId::parse(id).expect("an id");
        let mut bytes = self.disk.live[self.media_path(id)].as_slice();
        // Of a failed file only the durable bytes count.
        let certain = self.journal().record(id).and_then(Record::certain_bytes);
        if let Some(certain) = certain {
            bytes = &bytes[..usize::try_from(certain).unwrap()];
        }
        let scan = media::scan(bytes).unwrap();
        let header = scan.header.clone();
        let key = if header.wrapped.is_empty() {
            None
        } else {
            Some(seal::unwrap_key(&header.wrapped, &self.identities).unwrap())
        };
        let mut decoder =
            Decoder::new(header.codec, header.rate, header.sides, header.delay).unwrap();
        let (mut samples, mut all) = (Vec::new(), Vec::new());
        let read = media::chunks(bytes, key.as_ref(), |runs, payload| {
            decoder.decode_chunk(runs, payload, &mut samples).unwrap();
            all.extend_from_slice(runs);
        });
        read.unwrap();
        decoder.finish(&mut samples);
        let (ledger, complete) = (scan.ledger, scan.trailer.is_some());
        let (spans, to) = (scan.spans, scan.to);
        Stored { header, samples, runs: all, ledger, spans, to, complete }
    }

    /// Reads the journal on the disk.
    pub fn journal(&self) -> Index {
        let mut index = Index::default();
        let mut next = FIRST_SEQUENCE;
        for (path, bytes, until) in self.journals() {
            let mut reader = JournalReader::open(bytes).unwrap().with_limits(next, until);
            while let Some(item) = reader.next_item().unwrap() {
                match item {
                    JournalItem::Entry { sequence, entry, .. } => index.apply(sequence, &entry),
                    JournalItem::Checkpoint { .. } => {}
                    JournalItem::Damage { at, why } => panic!("{path}: damage at {at}: {why}"),
                }
            }
            next = reader.finish().state.sequence.min(until);
        }
        index
    }

    /// All facts in the journal on the disk, in order.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for (_, bytes, _) in self.journals() {
            let mut reader = JournalReader::open(bytes).unwrap();
            while let Some(item) = reader.next_item().unwrap() {
                if let JournalItem::Entry { entry, .. } = item {
                    facts.push(entry.fact);
                }
            }
        }
        facts
    }

    /// Runs the checks of `hushbox verify`.
    pub fn verify(&self) -> VerifyReport {
        self.verify_as(true)
    }

    /// Runs the checks of `hushbox verify` for a stopped recorder.
    pub fn verify_stopped(&self) -> VerifyReport {
        self.verify_as(false)
    }

    fn verify_as(&self, running: bool) -> VerifyReport {
        let key = Some(self.box_key().public_key());
        let mut verifier =
            Verifier::new(TrustAnchor { key, is_running: running, witness: Vec::new() });
        for (path, bytes, until) in self.journals() {
            verifier.add_journal_until(path, bytes, until);
        }
        for (path, bytes) in self.disk.live.iter().filter(|(path, _)| is_media(path)) {
            let certain = verifier.media_bytes(path).unwrap_or(u64::MAX);
            verifier.add_media(path, media::scan(bytes.as_slice().take(certain)).as_ref());
        }
        verifier.finish()
    }

    /// Journal files in order, each with the entry number from which a later file repeats it.
    fn journals(&self) -> Vec<(&str, &[u8], u64)> {
        let files = self.disk.live.iter().filter_map(|(path, bytes)| {
            let (day, part) = layout::parse_journal_part(path)?;
            Some(((day, part), path.as_str(), bytes.as_slice()))
        });
        let mut files: Vec<_> = files.collect();
        files.sort();
        let start = |bytes| {
            let reader = JournalReader::open(bytes).unwrap();
            reader.header().map(|header| header.start.sequence)
        };
        let starts: Vec<_> = files.iter().map(|((_, part), _, b)| (*part, start(*b))).collect();
        let until = superseded_limits(&starts).into_iter();
        files.into_iter().zip(until).map(|((_, path, bytes), until)| (path, bytes, until)).collect()
    }
}

fn is_media(path: &str) -> bool {
    layout::parse_media(path).or_else(|| layout::parse_screen(path)).is_some()
}
