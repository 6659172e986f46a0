//! Worker: runs slow requests one at a time, each in a short-lived thread.
//!
//! Hashing a PIN and wrapping data keys take up to hundreds of milliseconds. Summarising a day
//! takes longer, and key files wait for the disk. Such work must delay neither the loop nor the
//! disk thread's jobs. Requests wait in order (see `queue`); the reply arrives as a `WorkerReply`
//! with a wake-up.
//!
//! No failure here stops the daemon. If a thread cannot start, memory or random bits are missing,
//! or the thread panics, that one request fails and is retried. This holds for data keys too:
//! running recordings need no new keys, and a restart would interrupt them. An alarm reports what
//! cannot be recorded meanwhile (see `recorder::worker_failures`).

use super::queue::{self, WorkerQueue};
use super::system::System;
use crate::config::Config;
use crate::config::edit::ConfigChange;
use crate::enrolment_code::IssuedCertificate;
use crate::id::SessionId;
use crate::recorder::{ReadMode, TimeSyncReport};
use crate::selftest::{DiskResult, SelfTestKeys, SelfTestRecording};
use crate::shell::config_file;
use crate::shell::net::ca::{CertificateAuthority, ServerCertificate, SignError};
use crate::shell::net::listener::{OpenListenerRequest, OpenedSocket};
use crate::shell::net::peer::LocalIds;
use crate::shell::os::data_dir;
use crate::shell::workers::selftest;
use crate::store::archive::Catalogue;
use crate::store::day::Day;
use crate::store::seal::{DataKey, Envelope, Recipient};
use crate::time::{MonoTime, Now, WallTime};
use argon2::password_hash;
use mio::Waker;
use protocol::Kind;
use protocol::one_time::SECRET_BYTES;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use zeroize::Zeroizing;

pub enum WorkerRequest {
    CheckPin {
        session: SessionId,
        hash: String,
        pin: Zeroizing<String>,
    },
    MakeEnvelopes {
        count: usize,
    },
    ReadConfig(ReadConfigRequest),
    /// Summarise the days before `today`.
    Summarise {
        data: PathBuf,
        today: Day,
        damaged: Option<Day>,
    },
    /// Edit the configuration file, then reload it.
    EditConfig {
        session: SessionId,
        edit: ConfigChange,
        by: String,
        read: ReadConfigRequest,
    },
    /// Make keys for a self-test recording.
    MakeSelfTestKeys,
    /// Run the disk part of a self-test.
    SelfTest {
        data: PathBuf,
        recording: Option<SelfTestRecording>,
    },
    NewCallKey {
        data: PathBuf,
    },
    ForgetCallKeys {
        data: PathBuf,
    },
    /// Query whether the system clock is synchronised.
    QueryTimeSync {
        now: Now,
    },
    /// Make random bytes for a one-time code.
    NewCode {
        session: SessionId,
    },
    /// Sign a workstation's certificate.
    Sign(SignRequest),
    /// Open a listener that could not be opened before.
    OpenListener(OpenListenerRequest),
    /// Make a new server certificate.
    RenewCertificate {
        authority: Arc<CertificateAuthority>,
        now: WallTime,
    },
}

/// A workstation's certificate request and the identity to certify.
pub struct SignRequest {
    pub session: SessionId,
    pub authority: Arc<CertificateAuthority>,
    pub now: WallTime,
    pub request: Vec<u8>,
    pub machine: String,
    pub kinds: Vec<Kind>,
}

pub struct ReadConfigRequest {
    pub session: Option<SessionId>,
    pub mode: ReadMode,
    pub path: PathBuf,
    /// Data directory in use, which may hold the public keys.
    pub data: PathBuf,
    /// Number of envelopes to make if the public keys changed.
    pub stock: usize,
}

pub struct ReloadedConfig {
    pub config: Box<Config>,
    /// The names in its `[local]`, resolved.
    pub local_ids: LocalIds,
    /// Present if the public keys changed.
    pub new_recipients: Option<NewRecipients>,
}

/// Changed public keys, and envelopes sealed to them.
pub struct NewRecipients {
    pub recipients: Vec<Recipient>,
    pub envelopes: Vec<Envelope>,
    /// Keys that were in use, and that new recordings do not open with.
    pub dropped: Vec<String>,
}

pub enum WorkerReply {
    PinChecked {
        session: SessionId,
        right: bool,
    },
    Envelopes(Vec<Envelope>),
    ConfigRead {
        session: Option<SessionId>,
        mode: ReadMode,
        result: Result<ReloadedConfig, String>,
    },
    Summarised(Result<(Catalogue, u64), String>),
    ConfigEdited {
        session: SessionId,
        edit: ConfigChange,
        by: String,
        result: Result<ReloadedConfig, String>,
    },
    SelfTestKeys(Result<Box<SelfTestKeys>, String>),
    SelfTestDone(DiskResult),
    /// The new call key, if it could be written.
    CallKey(Option<DataKey>),
    CodeRandom {
        session: SessionId,
        random: Zeroizing<[u8; SECRET_BYTES]>,
    },
    Signed {
        session: SessionId,
        result: Result<IssuedCertificate, String>,
    },
    CertificateRenewed(Result<ServerCertificate, String>),
    ListenerOpened {
        token: mio::Token,
        result: Box<Result<OpenedSocket, String>>,
    },
    TimeSync(TimeSyncReport),
    /// Completed without a result.
    NoResult,
    /// The request of this session expired; `why` is for people.
    GivenUp {
        session: SessionId,
        why: String,
    },
}

impl queue::Request for WorkerRequest {
    fn yields(&self) -> bool {
        matches!(self, WorkerRequest::CheckPin { .. } | WorkerRequest::Sign(_))
    }

    fn is_awaited(&self) -> bool {
        match self {
            WorkerRequest::CheckPin { .. }
            | WorkerRequest::EditConfig { .. }
            | WorkerRequest::MakeSelfTestKeys
            | WorkerRequest::SelfTest { .. }
            | WorkerRequest::NewCode { .. }
            | WorkerRequest::Sign(_) => true,
            WorkerRequest::ReadConfig(wanted) => wanted.session.is_some(),
            WorkerRequest::MakeEnvelopes { .. }
            | WorkerRequest::Summarise { .. }
            | WorkerRequest::NewCallKey { .. }
            | WorkerRequest::ForgetCallKeys { .. }
            | WorkerRequest::QueryTimeSync { .. }
            | WorkerRequest::OpenListener(_)
            | WorkerRequest::RenewCertificate { .. } => false,
        }
    }
}

impl WorkerRequest {
    /// Converts an expired request into its reply; `None` if no session waits for it.
    fn give_up(self, why: String) -> Option<WorkerReply> {
        match self {
            WorkerRequest::CheckPin { session, .. }
            | WorkerRequest::EditConfig { session, .. }
            | WorkerRequest::NewCode { session }
            | WorkerRequest::Sign(SignRequest { session, .. })
            | WorkerRequest::ReadConfig(ReadConfigRequest { session: Some(session), .. }) => {
                Some(WorkerReply::GivenUp { session, why })
            }
            WorkerRequest::MakeSelfTestKeys => Some(WorkerReply::SelfTestKeys(Err(why))),
            WorkerRequest::SelfTest { recording, .. } => {
                let proof = recording.map(|_| Err(why.clone()));
                Some(WorkerReply::SelfTestDone(DiskResult { syncs_us: Err(why), read_back: proof }))
            }
            WorkerRequest::ReadConfig(ReadConfigRequest { session: None, .. })
            | WorkerRequest::MakeEnvelopes { .. }
            | WorkerRequest::Summarise { .. }
            | WorkerRequest::NewCallKey { .. }
            | WorkerRequest::ForgetCallKeys { .. }
            | WorkerRequest::QueryTimeSync { .. }
            | WorkerRequest::OpenListener(_)
            | WorkerRequest::RenewCertificate { .. } => None,
        }
    }
}

/// What a worker thread sends to the loop.
enum ThreadMessage {
    Reply(WorkerReply),
    /// The thread ended. `Some`: the remaining request and why it failed.
    Ended(Option<(WorkerRequest, String)>),
}

#[derive(Clone)]
struct Tools {
    recipients: Arc<Vec<Recipient>>,
    seal: bool,
    system: Arc<dyn System>,
}

/// A request queue and its current thread, if any.
pub struct Worker {
    tools: Tools,
    queue: WorkerQueue<WorkerRequest>,
    /// Replies for expired requests.
    given_up: VecDeque<WorkerReply>,
    sender: Sender<ThreadMessage>,
    receiver: Receiver<ThreadMessage>,
    waker: Arc<Waker>,
}

impl Worker {
    /// Creates a worker that seals to `recipients`, or does not seal.
    #[must_use]
    pub fn new(
        system: Arc<dyn System>,
        (recipients, seal): (Vec<Recipient>, bool),
        waker: Arc<Waker>,
    ) -> Worker {
        let (sender, receiver) = channel();
        let tools = Tools { recipients: Arc::new(recipients), seal, system };
        let (queue, given_up) = (WorkerQueue::default(), VecDeque::new());
        Worker { tools, queue, given_up, sender, receiver, waker }
    }

    /// Sets the recipients for future requests. Call it while handling the reply to a
    /// `ReadConfigRequest`: no other request is in flight then, so none seals to the old
    /// recipients.
    pub fn set_recipients(&mut self, recipients: Vec<Recipient>) {
        self.tools.recipients = Arc::new(recipients);
    }

    /// Appends a request; its reply arrives later.
    pub fn submit(&mut self, now: MonoTime, request: WorkerRequest) {
        self.queue.push(now, request);
        self.start_next(now);
    }

    /// Retries requests that are due, and expires those whose session waited too long.
    pub fn tick(&mut self, now: MonoTime) {
        self.start_next(now);
        while let Some((request, why)) = self.queue.take_expired(now) {
            log::error!("a request was given up: {why}");
            self.given_up.extend(request.give_up(why));
        }
    }

    /// Returns when `tick` has work.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonoTime> {
        self.queue.next_deadline()
    }

    /// Returns the persistent failure, for people.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.queue.trouble()
    }

    fn start_next(&mut self, now: MonoTime) {
        let Some(request) = self.queue.take_next(now) else { return };
        let (sender, waker, tools) = (self.sender.clone(), self.waker.clone(), self.tools.clone());
        // A failed spawn drops its closure, so the request is sent after the thread started.
        let (hand_over, take_over) = sync_channel(1);
        let work = move || {
            let Ok(request) = take_over.recv() else { return };
            let ended = serve_safely(request, &tools, &sender);
            drop(sender.send(ThreadMessage::Ended(ended)));
            if let Err(error) = waker.wake() {
                log::error!("the loop cannot be woken: {error}");
            }
        };
        match self.tools.system.spawn(Box::new(work)) {
            Ok(()) => {
                self.queue.started();
                if let Err(unsent) = hand_over.send(request) {
                    let why = "the thread ended early".to_string();
                    self.queue.failed(now, unsent.0, why);
                }
            }
            Err(error) => {
                self.queue.not_started(now, request, format!("no thread can be started: {error}"));
            }
        }
    }

    pub fn next_reply(&mut self, now: MonoTime) -> Option<WorkerReply> {
        while let Ok(message) = self.receiver.try_recv() {
            match message {
                ThreadMessage::Reply(reply) => return Some(reply),
                ThreadMessage::Ended(None) => self.queue.finished(),
                ThreadMessage::Ended(Some((request, why))) => {
                    log::warn!("a request is tried again: {why}");
                    self.queue.failed(now, request, why);
                }
            }
            self.start_next(now);
        }
        self.given_up.pop_front()
    }
}

/// Serves a request and catches a panic. On failure it returns the remaining request and the
/// error.
fn serve_safely(
    mut request: WorkerRequest,
    tools: &Tools,
    sender: &Sender<ThreadMessage>,
) -> Option<(WorkerRequest, String)> {
    let served = catch_unwind(AssertUnwindSafe(|| {
        let mut tell = |reply| drop(sender.send(ThreadMessage::Reply(reply)));
        execute_request(&mut request, tools, &mut tell)
    }));
    match served {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some((request, why)),
        Err(_) => Some((request, "a worker thread panicked; the log says where".to_string())),
    }
}

/// Edits the configuration file and reloads it. The error is for people.
fn edit_config(
    read: &ReadConfigRequest,
    edit: &ConfigChange,
    tools: &Tools,
) -> Result<ReloadedConfig, String> {
    match edit {
        ConfigChange::Restore => config_file::restore_config_file(&read.path, &read.data)?,
        edit => config_file::edit_config_file(&read.path, edit)?,
    }
    load_changed_config(read, tools).map_err(|failure| match failure {
        ReadFailure::File(text) => text,
        ReadFailure::Keys(why) => {
            format!("the file is changed, but not in force ({why}); config reload")
        }
    })
}

/// Serves a request. On error, which is for people, the remaining request can be retried.
fn execute_request(
    request: &mut WorkerRequest,
    tools: &Tools,
    tell: &mut dyn FnMut(WorkerReply),
) -> Result<(), String> {
    tell(match request {
        WorkerRequest::MakeEnvelopes { count } => return make_envelopes(count, tools, tell),
        WorkerRequest::CheckPin { session, hash, pin } => {
            WorkerReply::PinChecked { session: *session, right: verify_pin(hash, pin)? }
        }
        WorkerRequest::ReadConfig(wanted) => {
            let result = match load_changed_config(wanted, tools) {
                Err(ReadFailure::Keys(why)) => return Err(why),
                Err(ReadFailure::File(text)) => Err(text),
                Ok(fresh) => Ok(fresh),
            };
            WorkerReply::ConfigRead { session: wanted.session, mode: wanted.mode, result }
        }
        WorkerRequest::Summarise { data, today, damaged } => {
            let result = crate::shell::os::recover::summarise_days(data, *today, *damaged);
            WorkerReply::Summarised(result.map_err(|error| error.to_string()))
        }
        WorkerRequest::EditConfig { session, edit, by, read } => {
            let result = edit_config(read, edit, tools);
            WorkerReply::ConfigEdited {
                session: *session,
                edit: edit.clone(),
                by: by.clone(),
                result,
            }
        }
        WorkerRequest::MakeSelfTestKeys => WorkerReply::SelfTestKeys(
            selftest::generate_keys(&tools.recipients, tools.seal).map(Box::new),
        ),
        WorkerRequest::SelfTest { data, recording } => {
            WorkerReply::SelfTestDone(selftest::run_disk_test(data, recording.as_ref()))
        }
        WorkerRequest::NewCallKey { data } => {
            let made = data_dir::create_call_key(data);
            WorkerReply::CallKey(made.map_err(|error| log::error!("{error}")).ok())
        }
        WorkerRequest::QueryTimeSync { now } => {
            WorkerReply::TimeSync(crate::shell::os::time_sync::query_time_sync(*now))
        }
        WorkerRequest::OpenListener(request) => {
            let result = request.open().map_err(|error| error.to_string());
            WorkerReply::ListenerOpened { token: request.token, result: Box::new(result) }
        }
        WorkerRequest::NewCode { session } => {
            let mut random = Zeroizing::new([0; SECRET_BYTES]);
            tools.system.fill_random(&mut *random)?;
            WorkerReply::CodeRandom { session: *session, random }
        }
        WorkerRequest::Sign(sign) => {
            let who = (sign.machine.as_str(), sign.kinds.as_slice());
            let result = match sign.authority.sign_request(sign.now, &sign.request, who) {
                Err(SignError::Make(error)) => return Err(format!("no certificate: {error}")),
                other => other.map_err(|error| error.to_string()),
            };
            WorkerReply::Signed { session: sign.session, result }
        }
        WorkerRequest::RenewCertificate { authority, now } => WorkerReply::CertificateRenewed(
            authority.issue_server_certificate(*now).map_err(|error| error.to_string()),
        ),
        WorkerRequest::ForgetCallKeys { data } => {
            match data_dir::remove_old_call_keys(data) {
                Ok(()) => WorkerReply::NoResult,
                // The recorder then replaces the call key again, and removal comes last.
                Err(error) => {
                    log::error!("{error}");
                    WorkerReply::CallKey(None)
                }
            }
        }
    });
    Ok(())
}

/// Makes `count` envelopes, or as many as possible, and leaves the shortfall in `count`.
fn make_envelopes(
    count: &mut usize,
    tools: &Tools,
    tell: &mut dyn FnMut(WorkerReply),
) -> Result<(), String> {
    let (mut made, mut result) = (Vec::with_capacity(*count), Ok(()));
    while made.len() < *count && result.is_ok() {
        let one = envelope(&*tools.system, &tools.recipients, tools.seal);
        result = one.map(|envelope| made.push(envelope));
    }
    *count -= made.len();
    tell(WorkerReply::Envelopes(made));
    result
}

/// Compares a PIN with its argon2id PHC string, in constant time.
fn verify_pin(hash: &str, pin: &str) -> Result<bool, String> {
    use argon2::password_hash::PasswordVerifier;
    let Ok(hash) = argon2::password_hash::phc::PasswordHash::new(hash) else { return Ok(false) };
    pin_result(argon2::Argon2::default().verify_password(pin.as_bytes(), &hash))
}

/// Maps the verification result. Lack of memory is an error, not a wrong PIN.
fn pin_result(verified: password_hash::Result<()>) -> Result<bool, String> {
    match verified {
        Err(error @ password_hash::Error::OutOfMemory) => {
            Err(format!("a PIN cannot be compared: {error}"))
        }
        verified => Ok(verified.is_ok()),
    }
}

/// Why a reloaded configuration is rejected.
enum ReadFailure {
    /// The file is invalid.
    File(String),
    /// Making envelopes for its recipients failed; the file is valid.
    Keys(String),
}

/// Loads a changed configuration. `seal` keeps its value from startup; the recipients may change.
fn load_changed_config(
    wanted: &ReadConfigRequest,
    tools: &Tools,
) -> Result<ReloadedConfig, ReadFailure> {
    let file = config_file::read_config(&wanted.path).map_err(ReadFailure::File)?;
    let reloaded = prepare_reload(Box::new(file.config.clone()), wanted, tools)?;
    if wanted.mode != ReadMode::Check {
        config_file::save_copy(&file, &wanted.data);
    }
    Ok(reloaded)
}

fn prepare_reload(
    config: Box<Config>,
    wanted: &ReadConfigRequest,
    tools: &Tools,
) -> Result<ReloadedConfig, ReadFailure> {
    let local_ids = LocalIds::resolve_names(&config.local);
    if !tools.seal || !config.store.seal {
        return Ok(ReloadedConfig { config, local_ids, new_recipients: None });
    }
    let recipients = data_dir::reload_recipients(&config, &wanted.data);
    let recipients = recipients.map_err(|error| ReadFailure::File(error.to_string()))?;
    let words = |all: &[Recipient]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    if words(&recipients) == words(&tools.recipients) {
        return Ok(ReloadedConfig { config, local_ids, new_recipients: None });
    }
    let kept = words(&recipients);
    let dropped: Vec<String> =
        words(&tools.recipients).into_iter().filter(|key| !kept.contains(key)).collect();
    if !dropped.is_empty() && wanted.mode != (ReadMode::Apply { confirm: true }) {
        return Err(ReadFailure::File(format!(
            "[store] recipients leaves out {}, which is in use: new recordings would not open \
             with its private key; if that is intended, send config reload confirm=yes",
            dropped.join(", ")
        )));
    }
    let envelopes = generate_envelopes(&*tools.system, wanted.stock, (&recipients, tools.seal));
    let envelopes = envelopes.map_err(ReadFailure::Keys)?;
    if wanted.mode != ReadMode::Check {
        data_dir::write_sealed_to(&wanted.data, &kept)
            .map_err(|error| ReadFailure::File(error.to_string()))?;
    }
    let new_recipients = Some(NewRecipients { recipients, envelopes, dropped });
    Ok(ReloadedConfig { config, local_ids, new_recipients })
}

/// Makes envelopes. This is slow (see `Envelope::for_recipients`): call it at startup or in a
/// worker, not in the loop.
///
/// # Errors
/// As text: no random bits, or an unusable recipient.
pub fn generate_envelopes(
    system: &dyn System,
    count: usize,
    (recipients, seal): (&[Recipient], bool),
) -> Result<Vec<Envelope>, String> {
    (0..count).map(|_| envelope(system, recipients, seal)).collect()
}

fn envelope(system: &dyn System, recipients: &[Recipient], seal: bool) -> Result<Envelope, String> {
    let mut random = [0; 42];
    system.fill_random(&mut random)?;
    match seal {
        false => Ok(Envelope::without_key(random)),
        true => Envelope::for_recipients(random, recipients)
            .map_err(|error| format!("no data key: {error}")),
    }
}

#[cfg(test)]
mod tests;
