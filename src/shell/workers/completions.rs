//! What the disk thread and the helpers answer, handed on to the recorder.
//!
//! A configuration that was read again is taken over here, as far as the shell is concerned.
//! Nothing here waits.

use super::disk::Died;
use crate::config::edit::Edit;
use crate::id::SessionId;
use crate::recorder::{Edited, Input};
use crate::shell::event_loop::{Daemon, DaemonError};
use crate::shell::workers::worker::{Answer, Fresh, ReadConfig, Request};
use crate::time::Now;

impl Daemon {
    pub(in crate::shell) fn take_answers(&mut self, now: Now) -> Result<(), DaemonError> {
        self.disk.push();
        loop {
            match self.disk.done() {
                Ok(Some(done)) => self.recorder.handle(now, Input::Done(done)),
                Ok(None) => break,
                Err(Died) => return Err(DaemonError::Fatal("the disk thread died".to_string())),
            }
        }
        while let Some(answer) = self.next_answer() {
            match answer {
                Answer::Pin { session, right } => {
                    self.recorder.handle(now, Input::Pin { session, right });
                }
                Answer::Envelopes(envelopes) => {
                    for envelope in envelopes {
                        self.recorder.handle(now, Input::Envelope(Box::new(envelope)));
                    }
                }
                Answer::Config { session, apply, result } => {
                    self.config_came(now, session, (apply, result));
                }
                Answer::Summarised(result) => {
                    self.recorder.handle(now, Input::Summarised(result));
                }
                Answer::Code { session, random } => {
                    self.recorder.handle(now, Input::CodeMade { session, random });
                }
                Answer::Signed { session, result } => {
                    self.recorder.handle(now, Input::Signed { session, result });
                }
                Answer::ConfigEdited { session, edit, by, result } => {
                    let (what, restart) = (edit.told(), edit.needs_restart());
                    let result = result.map(|fresh| self.take_over(now, fresh));
                    let edited = Edited { session, what, by, restart, result };
                    self.recorder.handle(now, Input::ConfigEdited(edited));
                }
                Answer::TrialKeys(result) => self.recorder.handle(now, Input::TrialKeys(result)),
                Answer::Trial(found) => self.recorder.handle(now, Input::TrialFound(found)),
                Answer::Renewed(made) => self.certificate_renewed(now, made),
                Answer::CallKey(key) => self.recorder.handle(now, Input::CallKey(key)),
                Answer::TimeSync(found) => self.time_sync_came(now, found),
                Answer::Failed(text) => return Err(DaemonError::Fatal(text)),
                Answer::Done | Answer::Free => {}
            }
        }
        Ok(())
    }

    fn next_answer(&mut self) -> Option<Answer> {
        let answer = self.helper.answer().or_else(|| self.scribe.answer());
        answer.or_else(|| self.tester.answer()).or_else(|| self.looker.answer())
    }

    pub(in crate::shell) fn read_config_again(&mut self, session: Option<SessionId>, apply: bool) {
        let (path, data) = (self.config_path.clone(), self.data.path.clone());
        let stock = self.recorder.envelopes_wanted();
        let wanted = ReadConfig { session, apply, path, data, stock };
        self.helper.ask(Request::ReadConfig(wanted));
    }

    /// A configuration counts from now on, as far as that goes without a restart.
    fn take_over(&mut self, now: Now, Fresh { config, sealed, local_ids }: Fresh) {
        if let Some((recipients, envelopes)) = sealed {
            log::info!("recordings are sealed to {} keys now", recipients.len());
            self.recorder.sealed_to(recipients.iter().map(ToString::to_string).collect());
            self.helper.seal_to(recipients);
            self.recorder.replace_envelopes(envelopes);
        }
        self.config.local = config.local.clone();
        self.local_ids = local_ids;
        self.config.limits = config.limits.clone();
        self.recorder.handle(now, Input::Reload(config));
    }

    /// Has the configuration file changed.
    pub(in crate::shell) fn edit_config(&mut self, session: SessionId, edit: Edit, by: String) {
        let (path, data) = (self.config_path.clone(), self.data.path.clone());
        let stock = self.recorder.envelopes_wanted();
        let read = ReadConfig { session: None, apply: true, path, data, stock };
        self.helper.ask(Request::EditConfig { session, edit, by, read });
    }

    fn config_came(
        &mut self,
        now: Now,
        session: Option<SessionId>,
        (apply, result): (bool, Result<Fresh, String>),
    ) {
        let result = match result {
            Ok(fresh) => {
                if apply {
                    self.take_over(now, fresh);
                }
                Ok(())
            }
            Err(text) => {
                log::error!("the configuration is not taken over:\n{text}");
                Err(text.lines().next().unwrap_or_default().to_string())
            }
        };
        if let Some(session) = session {
            self.recorder.handle(now, Input::ConfigRead { session, result });
        }
    }
}
