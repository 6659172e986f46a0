//! Start of the recorder: restores the state in the journal.
//!
//! The shell has read the journal and completed the interrupted media files. Live calls continue,
//! and open blackouts mask their channels from position 0, before any audio arrives. Interrupted
//! recordings resume as soon as there are envelopes (G5, H3).

use super::{Chunk, Recorder, Timer};
use crate::alarm;
use crate::audio::channel::Channel;
use crate::audio::codec::CodecError;
use crate::audio::detect::ActivityDetector;
use crate::calls::call::Call;
use crate::calls::directory::Directory;
use crate::calls::schedule;
use crate::config::{BlackoutScope, CodecKind, Config};
use crate::job::Ticket;
use crate::limits;
use crate::recorder::admin::Admin;
use crate::recorder::blackout::{ActiveBlackout, Blackouts, Receipt};
use crate::recorder::calls::table::CallTable;
use crate::recorder::journal::clock::start_gap;
use crate::recorder::journal::retention::Retention;
use crate::recorder::journal::storage::{BlockBuffers, JournalEnd};
use crate::recorder::journal::{Journal, Storage};
use crate::recorder::recording::encoders::EncoderPools;
use crate::recorder::recording::interrupted::InterruptedRecording;
use crate::recorder::recording::key_stock::KeyStock;
use crate::recorder::recording::table::Recordings;
use crate::recorder::session::library;
use crate::store::archive::Catalogue;
use crate::store::fact::{CallNumber, Fact, RecordReason, RecordingEnd, RecordingEnded};
use crate::store::index::{Index, LiveCall, RecordFilter};
use crate::store::journal::JournalWriter;
use crate::store::layout;
use crate::store::seal::{self, DataKey, Identity, SEAL_TAG_BYTES};
use crate::store::sign::BoxSigningKey;
use crate::time::{MonoTime, Now, Position};
use std::collections::{BTreeSet, VecDeque};

/// The state that the shell read from the disk.
pub struct RecoveredState {
    pub config: Config,
    /// Records and calls that are in no summary.
    pub index: Index,
    /// Catalogue of the summaries of closed days.
    pub catalogue: Catalogue,
    pub journal: JournalWriter,
    /// Length of the newest journal file, in bytes.
    pub journal_bytes: u64,
    /// Day of the journal file to continue; `None` if there is none for today.
    pub day: Option<String>,
    pub box_key: BoxSigningKey,
    /// Earlier call keys that sealed calls' numbers; empty if unsealed or deleted.
    pub old_call_keys: Vec<DataKey>,
    /// The call key for new facts; `None` with `seal = false`.
    pub call_key: Option<DataKey>,
    pub identities: Vec<Identity>,
    /// Whether the journal was damaged: a checkpoint must come first.
    pub anchor: bool,
    /// Ends of interrupted recordings, whose media files are complete now.
    pub closed: Vec<RecordingEnded>,
    /// Ends of interrupted screen files.
    pub screens: Vec<RecordingEnded>,
    /// Random bytes of this start: the SIP servers derive tags and keys from them.
    pub sip_seed: zeroize::Zeroizing<[u8; 32]>,
}

/// Free buffers beyond two per channel, for facts.
const SPARE_BLOCKS: usize = 16;

/// Copies of chunks for each recording: written in the time of a sync and of the wait for it.
const CHUNKS_UNSYNCED: usize = 2;

/// Bytes in a buffer beyond a chunk's payload: for its head and the trailer, a file header, or a
/// busy turn's facts. Buffers are locked memory, two per channel.
const BLOCK_SPARE_BYTES: usize = crate::store::media::MAX_HEADER_BYTES;

impl Recorder {
    /// Restores the recorder from the state on the disk.
    ///
    /// # Errors
    ///
    /// When the codec rejects the configured rate or bitrate.
    pub fn new(now: Now, boot: RecoveredState) -> Result<Recorder, CodecError> {
        let RecoveredState { config, index, box_key, closed, screens, .. } = boot;
        let channels = make_channels(&config);
        let encoders = EncoderPools::new(&config)?;
        let longest = EncoderPools::chunk_bytes_max(&config)?;
        let blocks = (channels.len() * 2).min(limits::BLOCKS_MAX) + SPARE_BLOCKS;
        let copies = channels.len() * CHUNKS_UNSYNCED + SPARE_BLOCKS;
        let usual = usual_chunk_bytes(&config, longest);
        let newest = boot.day.map(|day| (day, boot.journal_bytes));
        let end = JournalEnd { writer: boot.journal, newest };
        let buffers = BlockBuffers { count: blocks, bytes: longest + BLOCK_SPARE_BYTES };
        let mut storage = Storage::new(now, end, box_key, buffers);
        boot.anchor.then(|| storage.anchor_chain(now));
        let (number, deleted) = (index.boot() + 1, files_of_deleted(&index).collect());
        let facts = interrupted_ends(closed, screens).chain([box_started(&config, number)]);
        let facts = facts.chain(start_gap(&index, now));
        let mut journal = Journal::new(now, storage, index);
        for fact in facts {
            journal.append(now, fact);
        }
        let mut recorder = Recorder {
            directory: Directory::new(&config.agents, &config.workstations),
            boot: number,
            released: Vec::with_capacity(channels.len()),
            boards: vec![None; config.boards.len()],
            calls: CallTable::new(journal.index.last_call(), &channels),
            recordings: Recordings::new(
                encoders,
                KeyStock::new(blocks),
                (0..copies).map(|_| Chunk::with_room(usual)).collect(),
                Vec::with_capacity(longest + SEAL_TAG_BYTES),
                channels.len(),
            ),
            blackouts: Blackouts { last: journal.index.last_blackout().0, ..Blackouts::default() },
            sessions: super::session::table::SessionTable::default(),
            journal,
            archive: crate::recorder::session::archive::Archive::new(boot.catalogue),
            expiry: crate::recorder::journal::expiry::Expiry::default(),
            identities: boot.identities,
            call_key: boot.call_key,
            admin: Admin::new(config.boards.len()),
            stale_agents: BTreeSet::new(),
            outputs: VecDeque::with_capacity(256),
            next_answer: 0,
            timers: super::Timers::default(),
            reader: library::ArchiveReader::default(),
            retention: Retention::default(),
            redactions: crate::recorder::journal::redaction::Redactions::default(),
            screens: crate::recorder::screen::Screens::default(),
            new_files: super::recording::new_files::NewFiles::default(),
            sip: crate::recorder::sip::make_boards(&config, &boot.sip_seed),
            next_loss_log: MonoTime(0),
            durability_lag_ms: 0,
            now: now.mono,
            clock_offset_ms: now.wall.0 - i64::try_from(now.mono.0 / 1000).unwrap_or(0),
            channels,
            config,
        };
        recorder.restore_calls(now, &boot.old_call_keys);
        recorder.restore_line_states();
        recorder.timers.advance(Timer::Calls, now.mono);
        let (noted, key_from) =
            (recorder.journal.storage.last_fact_ticket(), recorder.calls.first_live_number());
        recorder.retention = Retention::new(deleted, noted, key_from);
        recorder.restore_blackouts(now);
        recorder.standing_alarms(now);
        let (count, mib) = (recorder.channels.len(), recorder.audio_memory_bytes() >> 20);
        log::info!("{count} channels; rings, encoders and buffers take {mib} MiB of memory");
        Ok(recorder)
    }

    fn standing_alarms(&mut self, now: Now) {
        if !self.config.store.seal {
            let text = "recordings are stored without encryption (seal = false)".to_string();
            self.journal.raise_alarm(now, alarm::AlarmCode::NotSealed, "", text);
        }
        self.report_insecure_listeners(now);
    }

    /// Restores live calls; ends those that are too old or whose channel is gone.
    fn restore_calls(&mut self, now: Now, old_keys: &[DataKey]) {
        let live: Vec<LiveCall> = self.journal.index.live_calls().cloned().collect();
        for call in live {
            let number = call.facts.number;
            let stale_ms = i64::from(self.config.audio.stale_call_s) * 1000;
            let began = self.journal.index.clock().proven_time_of(call.facts.began);
            let age_ms = self.journal.proven_time(now).0.saturating_sub(began.0);
            let old = age_ms > stale_ms.max(86_400_000);
            let channel = match self.journal.index.dialog_of(number).cloned() {
                Some(dialog) if !old => {
                    self.restore_dialog(now, &dialog, (&call.facts.device, old_keys))
                }
                Some(_) => None,
                None => self.calls.channel_of(&call.facts.device).filter(|_| !old),
            };
            let Some(channel) = channel else {
                let fact = Fact::CallEnded { number, why: "restart".to_string() };
                self.journal.append(now, fact);
                continue;
            };
            let keys = old_keys.iter().map(Some).chain([None]);
            let opened = keys.filter_map(|key| seal::open_numbers(key, &call.numbers).ok()).next();
            let numbers = opened.unwrap_or_default();
            let given =
                call.facts.agent.as_deref().and_then(|a| self.directory.find_by_username(a));
            let known = Call {
                number,
                id: call.facts.call.clone(),
                device: call.facts.device.clone(),
                channel,
                consult_of: call.facts.consult_of.clone(),
                named_agent: given,
                phone_owner: self.directory.find_by_phone(&call.facts.device),
                workstation_agent: None,
                direction: call.facts.direction,
                group: call.facts.group.clone(),
                gate: call.facts.gate.clone(),
                numbers,
                began: call.facts.began,
                from: Position(0),
                is_held: call.is_held,
                start_order: self.calls.next_order(),
                ended: None,
                schedule_match: schedule::ScheduleMatch::default(),
                was_scheduled: self.was_scheduled(number),
                altered: String::new(),
                since: now.mono,
                is_long: false,
                last_audio: now.mono,
            };
            let sequence = self.journal.storage.next_sequence();
            let numbers = seal::seal_numbers(self.call_key.as_ref(), sequence, &known.numbers);
            self.calls.insert(known);
            let fact = Fact::CallChanged { call: call.facts.clone(), numbers };
            self.journal.append(now, fact);
            self.match_schedules(now, number);
            self.resume_after_start(&call);
            if !self.recordings.to_resume.contains(number) {
                self.start_recall(number);
            }
        }
    }

    /// Whether a schedule has caused a recording of this call before the start.
    fn was_scheduled(&self, number: CallNumber) -> bool {
        let all = RecordFilter::default();
        let mut own = self
            .journal
            .index
            .list_records(&all)
            .filter(|record| record.began.call.number == number);
        own.any(|record| record.reasons_ever.contains(RecordReason::Schedule))
    }

    /// Resumes the recording that the last stop ended, if its call is still live.
    fn resume_after_start(&mut self, call: &LiveCall) {
        let number = call.facts.number;
        let same = |record: &&crate::store::index::Record| record.began.call.number == number;
        let all = RecordFilter::default();
        let Some(last) = self.journal.index.list_records(&all).find(same) else { return };
        let stopped = |ended: &RecordingEnded| {
            matches!(
                ended.end,
                RecordingEnd::Power | RecordingEnd::Shutdown | RecordingEnd::Storage
            )
        };
        if !last.ended.as_ref().is_some_and(stopped) || last.reasons.is_empty() {
            return;
        }
        let agent = call.facts.agent.as_deref().and_then(|a| self.directory.find_by_username(a));
        let agent = agent.filter(|_| last.reasons.contains(RecordReason::Agent));
        let (id, reasons, schedule) = (last.id(), last.reasons, last.began.schedule.clone());
        let waiting = InterruptedRecording { id: Some(id), reasons, agent, schedule };
        self.recordings.to_resume.add(number, waiting);
    }

    /// Restores open blackouts, masking from position 0 before any audio arrives (G5).
    fn restore_blackouts(&mut self, now: Now) {
        let open: Vec<_> = self.journal.index.open_blackouts().cloned().collect();
        for old in open {
            let agent = self.directory.find_by_username(&old.agent);
            let scope_call = old.call.filter(|_| self.config.blackout.scope == BlackoutScope::Call);
            let call = scope_call.or(old.call);
            let first =
                self.calls.live_calls().find(|call| call.owner() == agent && agent.is_some());
            let channel = first.map_or(0, |call| self.channels[call.channel.0].id);
            // An agent who was removed from the configuration may still be audible.
            let masked = |c: &&Call| {
                let id = self.channels[c.channel.0].id;
                let theirs = agent.is_none() || c.owner().is_none();
                theirs && old.places.iter().any(|place| place.channel == id)
            };
            let pressed_in =
                |c: &&Call| agent.is_some() && c.owner() == agent && c.began <= old.opened;
            let calls = self.calls.live_calls().filter(|c| masked(c) || pressed_in(c));
            let calls = calls.map(|call| call.number).collect();
            self.blackouts.open.push(ActiveBlackout {
                number: old.number,
                agent,
                agent_name: old.agent.clone(),
                call,
                calls,
                holders: old.holders,
                captured_us: old.earlier_ms() * 1000,
                warned: false,
                carried: Vec::new(),
                idle_since: None,
                wanted_from: MonoTime(0),
                covered: Vec::new(),
                digits_until: None,
                screen_from: Position(0),
                make_receipt: Receipt {
                    recording: None,
                    at: Position(0),
                    from: Position(0),
                    clip: Position(0),
                    channel,
                    others: Vec::new(),
                    took_us: 0,
                    late_ms: 0,
                    rate: first.map_or(0, |call| self.channels[call.channel.0].rate),
                    ticket: Ticket(0),
                },
            });
        }
        self.update_coverage(now);
        let mut index = 0;
        while let Some(open) = self.blackouts.open.get(index) {
            if open.call.is_some_and(|call| self.calls.get(call).is_none()) {
                let end = crate::store::fact::BlackoutEnd::CallEnd;
                self.close_blackout(now, index, end, "box");
                continue;
            }
            log::warn!("the blackout of {} stays on", open.agent_name);
            for channel in &open.covered {
                assert_eq!(self.channels[channel.0].mask.open_from(), Some(Position(0)));
            }
            index += 1;
        }
    }
}

/// Room for a chunk's copy: twice the usual bytes of half a second with Opus. Copies grow if
/// needed. `longest` is a chunk of PCM; one of µ-law is half of it.
fn usual_chunk_bytes(config: &Config, longest: usize) -> usize {
    match config.audio.codec {
        CodecKind::Opus => (config.audio.bitrate as usize / 8 * 2).min(longest),
        CodecKind::Ulaw => longest / 2 + 64,
        CodecKind::Pcm | CodecKind::Screen => longest,
    }
}

/// Files of records deleted in the previous run, which may still exist.
fn files_of_deleted(index: &Index) -> impl Iterator<Item = String> {
    let both = |at, id| [layout::media_path(at, id), layout::screen_path(at, id)];
    index.deletions().filter_map(move |(id, at)| Some(both(at?, id))).flatten()
}

/// Notes the ends of recordings that the last stop interrupted.
fn interrupted_ends(
    closed: Vec<RecordingEnded>,
    screens: Vec<RecordingEnded>,
) -> impl Iterator<Item = Fact> {
    let screens = screens.into_iter().map(Fact::ScreenEnded);
    closed.into_iter().map(Fact::RecordingEnded).chain(screens)
}

fn box_started(config: &Config, boot: u32) -> Fact {
    let rates = config.boards.iter().map(|board| board.rate).collect();
    Fact::BoxStarted { boot, version: env!("CARGO_PKG_VERSION").to_string(), rates }
}

fn make_channels(config: &Config) -> Vec<Channel> {
    let mut channels = Vec::new();
    for (index, board) in config.boards.iter().enumerate() {
        for model in &board.channels {
            let holdback_ms = config.audio.holdback_ms;
            let mut channel = Channel::new(index, board.rate, model, holdback_ms);
            channel.detector = ActivityDetector::new(board, model, holdback_ms);
            channels.push(channel);
        }
    }
    channels
}
