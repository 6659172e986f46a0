//! Starts and restarts of the simulated recorder.

use super::disk::SimDisk;
use super::{PERIOD_MS, SimBox, box_key};
use hushbox::config::{self, Config};
use hushbox::recorder::{Input, Recorder, RecoveredState};
use hushbox::store::recover;
use hushbox::store::seal::{DataKey, Identity};
use hushbox::time::{MonoTime, Now};

impl SimBox {
    /// Stops the recorder in order, or cuts its power, and starts it again without clients.
    pub fn restart(&mut self, cut: bool) {
        if cut {
            self.disk.cut(None);
        } else {
            self.input(Input::Stop);
            for _ in 0..1000 {
                if self.stopped {
                    break;
                }
                self.run_ms(PERIOD_MS);
            }
            assert!(self.stopped, "the box does not stop");
            self.disk.cut(None);
        }
        self.start_again();
    }

    /// Starts the recorder from the content of the disk.
    pub fn start_again(&mut self) {
        self.disk.stop();
        self.now.mono = MonoTime(0);
        let random = self.random();
        self.call_keys.insert(0, random);
        let keys = (self.identities.as_slice(), self.call_keys.as_slice());
        if let Some(Ok((config, _))) = self.config_file.as_deref().map(config::parse) {
            self.config = config;
        }
        self.recorder = start(&self.config, &mut self.disk, keys, self.now);
        self.heads = vec![0; self.recorder.channel_count()];
        self.clients.clear();
        self.network.restart();
        self.telephony.restart();
        // A start that never became durable is not counted.
        self.boot = self.journal().boot() + 1;
        (self.stopped, self.fatal) = (false, None);
        self.envelopes_asked = 0;
        self.settle();
    }
}

/// Prepares a start as the shell does before the first turn.
pub(super) fn start(
    config: &Config,
    disk: &mut SimDisk,
    (identities, call_keys): (&[Identity], &[[u8; 32]]),
    now: Now,
) -> Recorder {
    let found = recover::recover_store(disk).unwrap();
    let (newest, older) = call_keys.split_first().expect("a call key");
    let call_key = config.store.seal.then(|| DataKey::from_random(*newest));
    let mut sip_seed = [0; 32];
    sip_seed[..8].copy_from_slice(&now.wall.0.to_le_bytes());
    let boot = RecoveredState {
        config: config.clone(),
        index: found.index,
        catalogue: found.catalogue,
        journal_bytes: found.journal_bytes,
        journal: found.journal,
        day: found.day,
        box_key: box_key(),
        old_call_keys: older.iter().map(|key| DataKey::from_random(*key)).collect(),
        call_key,
        identities: identities.to_vec(),
        anchor: found.needs_checkpoint,
        closed: found.completed,
        screens: found.completed_screens,
        sip_seed: sip_seed.into(),
    };
    Recorder::new(now, boot).unwrap()
}
