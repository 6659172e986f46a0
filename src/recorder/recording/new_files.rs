//! Whether the disk takes new files.
//!
//! A disk with free space may refuse to create a file: no inode is left, a quota is used up, or the
//! folder is read-only. Until the disk takes a new file again, presses are refused at once and
//! recordings that should begin wait. Every few seconds the disk thread tries to create a file.

use crate::alarm::AlarmCode;
use crate::job::{DiskError, Job};
use crate::recorder::Recorder;
use crate::store::layout;
use crate::time::{MonoTime, Now};
use protocol::{Code, Refusal};

/// Time between two trials.
const TRIAL_INTERVAL_MS: u64 = 5000;

/// Why the disk took no new file at the last attempt; `None` if it took one.
#[derive(Debug, Default)]
pub(in crate::recorder) struct NewFiles {
    refused: Option<DiskError>,
    next_trial: MonoTime,
    is_trying: bool,
    is_alarm_raised: bool,
}

impl NewFiles {
    /// When the disk is tried again.
    pub fn next_trial(&self) -> Option<MonoTime> {
        (self.refused.is_some() && !self.is_trying).then_some(self.next_trial)
    }
}

impl Recorder {
    /// Records whether the disk created a file.
    pub(in crate::recorder) fn note_file_creation(
        &mut self,
        now: Now,
        result: Result<(), DiskError>,
    ) {
        let refused = result.err();
        let was = std::mem::replace(&mut self.new_files.refused, refused);
        if was.is_some() == refused.is_some() {
            return;
        }
        self.mark_all_agents();
        if refused.is_some() {
            self.new_files.next_trial = now.mono.after_ms(TRIAL_INTERVAL_MS);
        } else {
            self.new_files.is_alarm_raised = false;
            self.journal.clear_alarm(now, AlarmCode::NoNewFiles, "");
            self.resume_interrupted(now);
        }
    }

    pub(in crate::recorder) fn handle_trial_file(
        &mut self,
        now: Now,
        result: Result<(), DiskError>,
    ) {
        self.new_files.is_trying = false;
        self.note_file_creation(now, result);
    }

    /// Raises the alarm, and tries whether the disk takes new files again. A failed disk has its
    /// own alarm and its own trials.
    pub(in crate::recorder) fn try_new_files(&mut self, now: Now) {
        let Some(error) = self.new_files.refused.filter(|_| !self.journal.storage.is_down()) else {
            return;
        };
        if !std::mem::replace(&mut self.new_files.is_alarm_raised, true) {
            let reason = self.file_refusal_reason(error);
            let text = format!("the box cannot create files: {reason}; no recording can begin");
            self.journal.raise_alarm(now, AlarmCode::NoNewFiles, "", text);
        }
        if !self.new_files.is_trying && now.mono >= self.new_files.next_trial {
            self.new_files.is_trying = true;
            self.new_files.next_trial = now.mono.after_ms(TRIAL_INTERVAL_MS);
            let path = layout::trial_path(now.wall);
            self.journal.storage.submit(now.mono, Job::TryCreate { path });
        }
    }

    /// Refuses new recordings while the disk takes no new file.
    pub(in crate::recorder) fn require_new_files(&self) -> Result<(), Refusal> {
        let Some(error) = self.new_files.refused else { return Ok(()) };
        let code = if error == DiskError::Full { Code::DiskFull } else { Code::Storage };
        let reason = self.file_refusal_reason(error);
        Err(Refusal::new(code, format!("the box cannot create files: {reason}")))
    }

    fn file_refusal_reason(&self, error: DiskError) -> String {
        let has_space =
            self.journal.storage.free_bytes > u64::from(self.config.store.reserve_mb) << 20;
        match error {
            DiskError::Full if has_space => {
                "no inode or no quota is left (`df -i`, `quota`)".to_string()
            }
            DiskError::Full => error.to_string(),
            DiskError::Failed(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        }
    }
}
