//! Invariants of the disk image, given what was acknowledged.

use super::{Masked, RATE, World};
use crate::sim::disk::{Image, SimDisk};
use hushbox::audio::span::{Fate, LossReason};
use hushbox::id::RecordingId;
use hushbox::store::index::{Index, Record, RecordFilter};
use hushbox::store::verify::Finding;
use hushbox::store::{layout, media, recover, seal};
use std::collections::{BTreeSet, HashSet};

/// Length in samples of a search needle, and distance between two needles.
const NEEDLE: usize = 4;

impl World {
    /// Asserts that a second recovery changes nothing, even after a cut at any step of the first.
    pub(super) fn assert_recovers(&self) {
        let once = |image: &Image, mends_left: Option<u32>| {
            let mut disk = SimDisk::default();
            disk.mends_left = mends_left;
            disk.live.clone_from(image);
            let found = recover::recover_store(&mut disk).ok();
            (disk.live, found.map(|found| format!("{:?} {:?}", found.index, found.completed)))
        };
        let (image, found) = once(&self.sim.disk.live, None);
        let (again, found_again) = once(&image, None);
        assert!(found.is_some(), "the box cannot recover");
        assert!(image == again, "the second recovery changed a file");
        assert_eq!(found, found_again, "the second recovery found something else");
        for mends in 0.. {
            let (torn, whole) = once(&self.sim.disk.live, Some(mends));
            if whole.is_some() {
                break;
            }
            let (again, found_again) = once(&torn, None);
            assert!(image == again, "after a cut in step {mends} of a recovery a file differs");
            assert_eq!(found, found_again, "after a cut in step {mends} of a recovery");
        }
    }

    /// Asserts that every acknowledged fact is in the journal, and that no more audio is lost than
    /// allowed.
    pub(super) fn assert_kept(&mut self, (boot, head): (u32, u64), unsure: &BTreeSet<usize>) {
        let index = self.sim.journal();
        for (agent, call) in &self.known.calls {
            let device = format!("100{agent}");
            let same =
                index.live_calls().any(|c| c.facts.device == device && c.facts.call == *call);
            assert!(same || unsure.contains(agent), "call {call} of {device} is not known");
        }
        for live in index.live_calls() {
            let known = |(agent, call): (&usize, &String)| {
                live.facts.device == format!("100{agent}") && live.facts.call == *call
            };
            let agent = usize::from(live.facts.device.as_bytes()[3] - b'0');
            let fine = self.known.calls.iter().any(known) || unsure.contains(&agent);
            assert!(fine, "call {} goes on after its end", live.facts.call);
        }
        for (id, told) in &self.known.recordings {
            let record = record(&index, id);
            let Some(ended) = &record.ended else { panic!("{id} is still running") };
            // Audio held back is written after a late press, over several turns and syncs.
            let late = self.known.busy && self.site.recall != "off" && head < told.at + RATE;
            if told.boot == boot && !told.over && !self.known.troubled && !late {
                let lost = head.saturating_sub(ended.to.0);
                self.losses.push(lost);
                let bound = (self.site.holdback_ms + 1000) * RATE / 1000;
                let (from, to, end) = (record.began.from.0, ended.to.0, ended.end);
                assert!(
                    lost <= bound,
                    "{lost} frames of {id} are lost, {bound} may be: {from}..{to} {end:?}, {told:?}"
                );
            }
        }
        self.assert_fields(&index, unsure);
    }

    /// Asserts that fields and protection have the acknowledged values, or those of a command in
    /// flight.
    fn assert_fields(&mut self, index: &Index, unsure: &BTreeSet<usize>) {
        let channel = |id: &String| self.known.recordings[id].channel;
        let mut newest = Vec::new();
        for ((id, field), value) in &self.known.fields {
            let kept = heir(index, record(index, id));
            let found = kept.fields.get(field).expect("the field was acknowledged");
            let key = self.key_of(&kept.id().to_string());
            let found = seal::open_field(key.as_ref(), found).unwrap();
            let fine = found == *value || unsure.contains(&channel(id));
            assert!(fine, "field {field} of {id}: {found}, not {value}");
            newest.push(((id.clone(), *field), found));
        }
        let mut protected = Vec::new();
        for (id, on) in &self.known.protected {
            let found = record(index, id).is_protected;
            assert!(found == *on || unsure.contains(&channel(id)), "{id} protected");
            protected.push((id.clone(), found));
        }
        self.known.fields = newest.into_iter().collect();
        self.known.protected = protected.into_iter().collect();
    }

    fn key_of(&self, id: &str) -> Option<seal::DataKey> {
        let wrapped = self.sim.stored(id).header.wrapped;
        let unwrap = |w: &[u8]| seal::unwrap_key(w, &self.sim.identities).unwrap();
        Some(wrapped).filter(|w| !w.is_empty()).map(|w| unwrap(&w))
    }

    /// Asserts that nothing masked is on the disk, and that all other audio is intact or its loss
    /// explained.
    pub fn assert_image(&self) {
        let index = self.sim.journal();
        // The fact that a file failed may still be on its way to the disk.
        let has_just_failed = |path: &str| {
            let id = layout::parse_media(path).map(|(_, id)| id);
            let record = id.and_then(|id| index.record(id));
            self.sim.disk.is_suspect(path) && record.is_some_and(Record::is_running)
        };
        let mut findings = self.sim.verify().findings;
        findings.retain(|finding| match finding {
            Finding::MediaDamaged { path, .. } => !has_just_failed(path),
            Finding::JournalDamaged { path, .. } => !self.sim.disk.is_suspect(path),
            _ => true,
        });
        assert!(findings.is_empty(), "verify: {findings:?}");
        if !self.site.seal {
            self.assert_nowhere();
        }
        for id in self.sim.recordings() {
            // A file that failed before any of it was durable does not count.
            if index.record(id).and_then(Record::certain_bytes) == Some(0) {
                continue;
            }
            let mut paths = self.sim.disk.live.keys();
            let path = paths.find(|p| layout::parse_media(p).is_some_and(|m| m.1 == id)).unwrap();
            let is_readable = media::scan(self.sim.disk.live[path].as_slice()).is_ok();
            if is_readable && !has_just_failed(path) {
                self.assert_recording(id);
            }
        }
    }

    fn assert_recording(&self, id: RecordingId) {
        let stored = self.sim.stored(&id.to_string());
        stored.check(&self.sim);
        let boot = self.sim.born[&id];
        let channel = usize::from(stored.header.channel);
        let here = |boot: u32| boot == self.sim.boot && self.known.troubled;
        let troubled = here(boot) || self.known.troubles.contains(&boot);
        let mut at = stored.header.from.0;
        for run in &stored.runs {
            let (from, to) = (at, at + u64::from(run.frames));
            at = to;
            let known = &self.known;
            let dark = masked_of(&known.masked, (boot, channel), (from, to));
            let place = (boot, stored.header.channel);
            if run.fate.is_stored() {
                assert_eq!(dark, 0, "{id}: masked frames of {from}..{to} are stored");
            }
            match run.fate {
                Fate::Stored => {}
                Fate::SideLost(side, why) => {
                    let told = self.told_lost(place, side.index(), (from, to), Some(why));
                    assert_eq!(told, to - from, "{id}: {from}..{to} {side:?} lost ({why:?})");
                }
                Fate::Lost(why) if why.is_of_packets() => {
                    for side in 0..usize::from(stored.header.sides) {
                        let told = self.told_lost(place, side, (from, to), None);
                        assert_eq!(told, to - from, "{id}: {from}..{to} side {side} lost");
                    }
                }
                Fate::Lost(LossReason::Board) => {
                    let unplugged = &self.known.unplugged;
                    let here = |u: &&(u32, usize, u64, u64)| (u.0, u.1) == (boot, channel);
                    let covers = |u: &(u32, usize, u64, u64)| u.2 <= from && to <= u.3;
                    assert!(unplugged.iter().filter(here).any(covers), "{id}: {from}..{to} lost");
                }
                Fate::Lost(LossReason::Ring | LossReason::Disk) => {
                    assert!(troubled, "{id}: {from}..{to} lost")
                }
                Fate::Lost(why) => panic!("{id}: {from}..{to} is lost ({why:?})"),
                Fate::Held => {}
                Fate::Masked => {
                    let all: Vec<Masked> =
                        known.masked.iter().chain(&known.leads).cloned().collect();
                    let dark = masked_of(&all, (boot, channel), (from, to));
                    // A press masks before its answer leaves, and so does a call that comes under
                    // a blackout.
                    let mut waits = self.pending("blackout").chain(self.pending("call"));
                    let waits = boot == self.sim.boot && waits.any(|agent| agent == channel);
                    let vague = waits || self.known.vague.contains(&(boot, channel));
                    assert!(
                        dark == to - from || vague,
                        "{id}: {from}..{to} is masked, {dark} asked"
                    );
                }
            }
        }
    }

    /// How many frames of a range the network told as lost on one side.
    fn told_lost(
        &self,
        (boot, channel): (u32, u16),
        side: usize,
        range: (u64, u64),
        why: Option<LossReason>,
    ) -> u64 {
        self.sim.network.told_lost((boot, channel, side), range, why)
    }

    /// Searches every byte offset of every file for samples of each mask.
    fn assert_nowhere(&self) {
        let mut needles: HashSet<[u8; NEEDLE * 2]> = HashSet::new();
        for masked in &self.known.masked {
            let to = masked.to.unwrap_or_else(|| self.sim.head(0));
            let channel = u16::try_from(masked.channel).unwrap();
            let sides = if masked.channel == 2 { 2 } else { 1 };
            let mut sound = Vec::new();
            for position in masked.from..to {
                for side in 0..sides {
                    let heard = self.sim.heard(masked.boot, channel, position, side);
                    sound.extend_from_slice(&heard.to_le_bytes());
                }
            }
            needles.extend(sound.chunks_exact(NEEDLE * 2).map(|n| <[u8; 8]>::try_from(n).unwrap()));
        }
        if needles.is_empty() {
            return;
        }
        for (path, bytes) in &self.sim.disk.live {
            let found = bytes.windows(NEEDLE * 2).position(|window| needles.contains(window));
            assert_eq!(found, None, "masked audio in {path}");
        }
    }
}

fn record<'a>(index: &'a Index, id: &str) -> &'a Record {
    index.record(RecordingId::parse(id).expect("an id")).expect("an acknowledged recording")
}

/// The recording, or its continuation if none of its file was ever durable.
fn heir<'a>(index: &'a Index, record: &'a Record) -> &'a Record {
    let next = || {
        let all = RecordFilter::default();
        let heir = index.list_records(&all).find(|r| r.began.continues == Some(record.id()));
        heir.unwrap_or_else(|| panic!("nothing goes on for {}", record.id()))
    };
    if record.certain_bytes() == Some(0) { heir(index, next()) } else { record }
}

/// Number of frames of a span that must be masked.
fn masked_of(all: &[Masked], place: (u32, usize), (from, to): (u64, u64)) -> u64 {
    let here = |m: &&Masked| (m.boot, m.channel) == place;
    let all = all.iter().filter(here);
    let clip = |m: &Masked| (m.from.max(from), m.to.unwrap_or(u64::MAX).min(to));
    let mut stretches: Vec<(u64, u64)> = all.map(clip).collect();
    stretches.sort_unstable();
    let (mut count, mut done) = (0, from);
    for (from, to) in stretches {
        count += to.saturating_sub(from.max(done));
        done = done.max(to);
    }
    count
}
