//! Reloads of the configuration: what takes effect at once, and what waits for a restart.
//!
//! The shell reads and checks the file. The recorder applies every key that can change while it
//! runs, closes sessions that could not say hello any more, and says which keys wait. Running
//! calls, recordings and blackouts continue.

use crate::alarm::AlarmCode;
use crate::config::difference::{changed_keys, keep_start_keys};
use crate::config::{Config, ListenSettings};
use crate::id::SessionId;
use crate::job::Ticket;
use crate::recorder::recording::encoders::EncoderPools;
use crate::recorder::session::response::Response;
use crate::recorder::{Output, Recorder};
use crate::time::Now;
use protocol::{Code, Refusal, reply};

/// The file that the shell read, or its errors as text for people.
pub type ReadResult = Result<Box<Config>, String>;

/// What a file is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// To report its errors.
    Check,
    /// To apply it. Without `confirm` it must keep every recipient that is in use.
    Apply { confirm: bool },
}

/// Reply to `Output::ReadConfig`.
#[derive(Debug)]
pub struct ConfigReadResult {
    /// The session that asked; `None` for a reload by signal.
    pub session: Option<SessionId>,
    pub mode: ReadMode,
    pub result: ReadResult,
}

/// What a reload changed, as keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::recorder) struct Reloaded {
    /// Keys that changed and are in force now.
    pub applied: Vec<&'static str>,
    /// Keys whose value in the file waits for a restart.
    pub waits: Vec<&'static str>,
}

impl Recorder {
    /// The configuration in force, which may differ from the file.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks the shell to read the configuration file; its result is the reply.
    pub(in crate::recorder) fn request_config_read(
        &mut self,
        id: SessionId,
        mode: ReadMode,
    ) -> Response {
        if let Some(session) = self.sessions.get_mut(id) {
            session.checking = true;
        }
        self.outputs.push_back(Output::ReadConfig { session: id, mode });
        Response::immediate(Vec::new())
    }

    /// Applies or compares a file that the shell read, and replies to the session that asked.
    pub(in crate::recorder) fn finish_config_read(&mut self, now: Now, read: ConfigReadResult) {
        let ConfigReadResult { session, mode, result } = read;
        let apply = mode != ReadMode::Check;
        let mut bytes = Vec::new();
        match result {
            Ok(file) => {
                let reloaded = match apply {
                    true => self.apply_config(now, *file, None),
                    false => {
                        let applied = keep_start_keys(&self.config, (*file).clone());
                        self.report_waiting_keys(now, (&applied, &file))
                    }
                };
                write_reloaded(&reloaded, &mut bytes);
            }
            Err(text) => {
                if apply {
                    self.report_refused_config(now, &text);
                }
                reply::begin_err(&mut bytes, &Refusal::new(Code::Config, text)).end();
            }
        }
        let Some(session) = session.and_then(|id| self.sessions.get_mut(id)) else { return };
        session.checking = false;
        session.queue_reply(Ticket(0), bytes, None);
    }

    /// Applies a configuration as far as that is possible without a restart. `editor`: the session
    /// whose command changed the file.
    pub(in crate::recorder) fn apply_config(
        &mut self,
        now: Now,
        file: Config,
        editor: Option<SessionId>,
    ) -> Reloaded {
        let mut new = keep_start_keys(&self.config, file.clone());
        self.replace_encoders(&mut new);
        let applied = changed_keys(&self.config, &new);
        self.directory.update(&new.agents, &new.workstations);
        self.config = new;
        if self.config.audio.recall_ms.is_none() {
            self.discard_all_recall();
        }
        self.screens.forget_refusals();
        let numbers: Vec<_> = self.calls.live_calls().map(|call| call.number).collect();
        for number in numbers {
            let device = self.calls.get(number).map(|call| call.device.clone());
            let owner = device.and_then(|device| self.directory.find_by_phone(&device));
            self.calls.update(number, |call| call.phone_owner = owner);
        }
        self.calls.active_schedules = None;
        self.follow_schedules(now);
        self.update_coverage(now);
        let agents: Vec<_> = self.sessions.logged_in_agents().collect();
        self.stale_agents.extend(agents);
        self.screens.forget_refusals();
        self.recheck_sessions(now, editor);
        self.journal.clear_alarm(now, AlarmCode::ConfigRefused, "");
        self.report_insecure_listeners(now);
        let waits = self.report_waiting_keys(now, (&self.config.clone(), &file)).waits;
        let reloaded = Reloaded { applied, waits };
        log::info!(
            "the configuration was loaded: {} changed, {} need a restart",
            list_keys(&reloaded.applied),
            list_keys(&reloaded.waits)
        );
        reloaded
    }

    /// Raises or clears the alarm about keys that wait for a restart: those in which `file` differs
    /// from what is applied of it.
    fn report_waiting_keys(&mut self, now: Now, (applied, file): (&Config, &Config)) -> Reloaded {
        let waits = changed_keys(applied, file);
        if waits.is_empty() {
            self.journal.clear_alarm(now, AlarmCode::RestartNeeded, "");
        } else {
            let text = format!(
                "the configuration file differs from what runs: {}; restart the box to apply the \
                 file, or put the old values back",
                waits.join(", ")
            );
            self.journal.raise_alarm(now, AlarmCode::RestartNeeded, "", text);
        }
        Reloaded { applied: Vec::new(), waits }
    }

    /// Raises an alarm: recordings from now on do not open with these keys, which were in use.
    pub fn report_dropped_recipients(&mut self, now: Now, dropped: &[String]) {
        if dropped.is_empty() {
            return;
        }
        let (records, _) = self.count_records();
        let text = format!(
            "new recordings do not open with {}, which was in use until {}; the {records} \
             recordings in the store open only with the keys of their time: keep the private key",
            dropped.join(", "),
            now.wall
        );
        self.journal.raise_alarm(now, AlarmCode::RecipientsChanged, "", text);
    }

    /// Raises or clears the alarm about listeners that serve plain text to the network.
    pub(in crate::recorder) fn report_insecure_listeners(&mut self, now: Now) {
        let is_insecure = |listen: &ListenSettings| {
            matches!(listen, ListenSettings::Tcp { insecure: true, tls: false, address }
                if !address.ip().is_loopback())
        };
        if self.config.listen.iter().any(is_insecure) {
            let text = "the box serves plain text to the network (insecure = true)".to_owned();
            self.journal.raise_alarm(now, AlarmCode::Insecure, "", text);
        } else {
            self.journal.clear_alarm(now, AlarmCode::Insecure, "");
        }
    }

    fn report_refused_config(&mut self, now: Now, text: &str) {
        let text = format!(
            "the configuration file was refused, and the box runs with the one before: {text}; \
             correct the file, then send `config reload`"
        );
        self.journal.raise_alarm(now, AlarmCode::ConfigRefused, "", text);
    }

    /// Makes encoders for a new codec or bitrate. Streams that run keep theirs until they end. If
    /// a running board's rate does not fit the codec, both keys wait for a restart.
    fn replace_encoders(&mut self, new: &mut Config) {
        let audio = &self.config.audio;
        if (audio.codec, audio.bitrate) == (new.audio.codec, new.audio.bitrate) {
            return;
        }
        match EncoderPools::new(new) {
            Ok(encoders) => self.recordings.encoders = encoders,
            Err(error) => {
                log::warn!("[audio] codec waits for a restart: {error}");
                (new.audio.codec, new.audio.bitrate) = (audio.codec, audio.bitrate);
            }
        }
    }
}

/// Writes `ok applied=LIST waits=LIST restart=yes|no`, and `keys=LIST` if keys wait.
fn write_reloaded(reloaded: &Reloaded, bytes: &mut Vec<u8>) {
    let Reloaded { applied, waits } = reloaded;
    let line = reply::begin_ok(bytes).pair("applied", list_keys(applied));
    let line = line.pair("waits", list_keys(waits));
    match waits.is_empty() {
        true => line.pair("restart", "no").end(),
        false => line.pair("restart", "yes").pair("keys", list_keys(waits)).end(),
    }
}

fn list_keys(keys: &[&str]) -> String {
    if keys.is_empty() { "-".to_owned() } else { keys.join(",") }
}
