//! Passes the results of the disk thread and the workers to the recorder.
//!
//! The shell's share of a reloaded configuration is applied here.

use super::disk::WorkerExited;
use crate::config::Config;
use crate::config::difference::keep_start_keys;
use crate::config::edit::ConfigChange;
use crate::id::SessionId;
use crate::recorder::{ConfigEditResult, ConfigReadResult, Input, ReadMode, ReadResult};
use crate::shell::event_loop::{Daemon, DaemonError};
use crate::shell::net::peer;
use crate::shell::workers::worker::{
    NewRecipients, ReadConfigRequest, ReloadedConfig, Worker, WorkerReply, WorkerRequest,
};
use crate::time::Now;

impl Daemon {
    pub(in crate::shell) fn drain_completions(&mut self, now: Now) -> Result<(), DaemonError> {
        self.disk.submit_waiting();
        loop {
            match self.disk.next_completion() {
                Ok(Some(completion)) => self.recorder.handle(now, Input::JobDone(completion)),
                Ok(None) => break,
                Err(WorkerExited) => {
                    return Err(DaemonError::Disk("the disk thread died".to_string()));
                }
            }
        }
        for worker in self.workers_mut() {
            worker.tick(now.mono);
        }
        while let Some(answer) = self.next_worker_reply(now) {
            match answer {
                WorkerReply::PinChecked { session, right } => {
                    self.recorder.handle(now, Input::PinChecked { session, right });
                }
                WorkerReply::Envelopes(envelopes) => {
                    for envelope in envelopes {
                        self.recorder.handle(now, Input::Envelope(Box::new(envelope)));
                    }
                }
                WorkerReply::ConfigRead { session, mode, result } => {
                    self.finish_config_read(now, session, (mode, result));
                }
                WorkerReply::Summarised(result) => {
                    self.recorder.handle(now, Input::Summarised(result));
                }
                WorkerReply::CodeRandom { session, random } => {
                    self.recorder.handle(now, Input::CodeRandom { session, random });
                }
                WorkerReply::Signed { session, result } => {
                    self.recorder.handle(now, Input::Signed { session, result });
                }
                WorkerReply::ConfigEdited { session, edit, by, result } => {
                    let (what, key) = (edit.describe(), edit.key());
                    let result = result.map(|fresh| self.adopt_config(now, fresh));
                    let edited = ConfigEditResult { session, what, by, key, result };
                    self.recorder.handle(now, Input::ConfigEdited(edited));
                }
                WorkerReply::SelfTestKeys(result) => {
                    self.recorder.handle(now, Input::SelfTestKeys(result))
                }
                WorkerReply::SelfTestDone(found) => {
                    self.recorder.handle(now, Input::SelfTestDone(found))
                }
                WorkerReply::CertificateRenewed(made) => self.handle_renewed_certificate(now, made),
                WorkerReply::CallKey(key) => self.recorder.handle(now, Input::CallKey(key)),
                WorkerReply::TimeSync(found) => self.handle_time_sync(now, found),
                WorkerReply::GivenUp { session, why } => {
                    self.recorder.handle(now, Input::GivenUp { session, why });
                }
                WorkerReply::ListenerOpened { token, result } => {
                    self.finish_opening(now, token, *result);
                }
                WorkerReply::NoResult => {}
            }
        }
        self.watch_workers(now);
        Ok(())
    }

    pub(in crate::shell) fn workers(&self) -> [&Worker; 4] {
        [&self.general_worker, &self.summary_worker, &self.selftest_worker, &self.external_worker]
    }

    fn workers_mut(&mut self) -> [&mut Worker; 4] {
        [
            &mut self.general_worker,
            &mut self.summary_worker,
            &mut self.selftest_worker,
            &mut self.external_worker,
        ]
    }

    fn next_worker_reply(&mut self, now: Now) -> Option<WorkerReply> {
        self.workers_mut().into_iter().find_map(|worker| worker.next_reply(now.mono))
    }

    /// Reports persistent worker failures to the recorder when they change.
    fn watch_workers(&mut self, now: Now) {
        let trouble = self.workers().into_iter().find_map(Worker::trouble);
        if trouble != self.worker_trouble.as_deref() {
            let trouble = trouble.map(str::to_string);
            self.recorder.worker_state(now, trouble.as_deref());
            self.worker_trouble = trouble;
        }
    }

    pub(in crate::shell) fn reload_config(
        &mut self,
        now: Now,
        session: Option<SessionId>,
        mode: ReadMode,
    ) {
        let (path, data) = (self.config_path.clone(), self.data.path.clone());
        let stock = self.recorder.envelopes_wanted();
        let wanted = ReadConfigRequest { session, mode, path, data, stock };
        self.general_worker.submit(now.mono, WorkerRequest::ReadConfig(wanted));
    }

    /// Applies the shell's share of a reloaded configuration. The recorder applies the rest.
    fn adopt_config(
        &mut self,
        now: Now,
        ReloadedConfig { config, new_recipients, local_ids }: ReloadedConfig,
    ) -> Box<Config> {
        if let Some(NewRecipients { recipients, envelopes, dropped }) = new_recipients {
            log::info!("recordings are sealed to {} keys now", recipients.len());
            self.recorder.set_recipients(recipients.iter().map(ToString::to_string).collect());
            self.general_worker.set_recipients(recipients);
            self.recorder.replace_envelopes(now, envelopes);
            self.recorder.report_dropped_recipients(now, &dropped);
        }
        self.recorder.set_config_trouble(now, None);
        self.config.local = config.local.clone();
        self.local_ids = local_ids;
        self.config.limits = config.limits.clone();
        self.config.boards = keep_start_keys(&self.config, (*config).clone()).boards;
        self.replace_listeners(now, &config.listen);
        for (id, connection) in &self.connections {
            let (local, ids) = (&self.config.local, &self.local_ids);
            let transport = connection.plain_transport();
            if let Some(peer) = transport.and_then(|it| peer::current_peer(local, ids, it)) {
                let session = SessionId(*id);
                self.recorder.handle(now, Input::PeerChanged { session, peer });
            }
        }
        config
    }

    /// Requests an edit of the configuration file.
    pub(in crate::shell) fn edit_config(
        &mut self,
        now: Now,
        session: SessionId,
        (edit, by): (ConfigChange, String),
    ) {
        let (path, data) = (self.config_path.clone(), self.data.path.clone());
        let stock = self.recorder.envelopes_wanted();
        let mode = ReadMode::Apply { confirm: false };
        let read = ReadConfigRequest { session: None, mode, path, data, stock };
        self.general_worker.submit(now.mono, WorkerRequest::EditConfig { session, edit, by, read });
    }

    fn finish_config_read(
        &mut self,
        now: Now,
        session: Option<SessionId>,
        (mode, result): (ReadMode, Result<ReloadedConfig, String>),
    ) {
        let result: ReadResult = match result {
            Ok(fresh) if mode == ReadMode::Check => Ok(fresh.config),
            Ok(fresh) => Ok(self.adopt_config(now, fresh)),
            Err(text) => {
                log::error!("the configuration was refused:\n{text}");
                Err(text.lines().next().unwrap_or_default().to_string())
            }
        };
        let read = ConfigReadResult { session, mode, result };
        self.recorder.handle(now, Input::ConfigRead(read));
    }
}
