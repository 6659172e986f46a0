//! The helper: slow arithmetic in a short-lived thread, one at a time.
//!
//! Hashing a PIN and wrapping data keys take milliseconds to hundreds of them, closing a day takes
//! longer, and a key file waits for the disk; none of that belongs in the loop or in front of the
//! disk's jobs. Requests wait in order; the answer comes back as an `Answer` with a wake-up.

use crate::config::Config;
use crate::config::edit::ConfigChange;
use crate::doors::IssuedCertificate;
use crate::id::SessionId;
use crate::recorder::TimeSync;
use crate::selftest::{DiskResult, SelfTestKeys, SelfTestRecording};
use crate::shell::net::ca::{CertificateAuthority, ServerCertificate};
use crate::shell::net::peer::LocalIds;
use crate::shell::os::data_dir;
use crate::shell::workers::selftest;
use crate::store::archive::Catalogue;
use crate::store::day::Day;
use crate::store::seal::{DataKey, Envelope, Recipient};
use crate::time::WallTime;
use mio::Waker;
use protocol::Kind;
use protocol::one_time::SECRET_BYTES;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use zeroize::Zeroizing;

/// What is asked.
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
    /// Close the days before `today`.
    Summarise {
        data: PathBuf,
        today: Day,
        damaged: Option<Day>,
    },
    /// Change the configuration file, then read it again.
    EditConfig {
        session: SessionId,
        edit: ConfigChange,
        by: String,
        read: ReadConfigRequest,
    },
    /// Keys for a self-test's recording.
    MakeSelfTestKeys,
    /// A self-test's part of the disk.
    SelfTest {
        data: PathBuf,
        tape: Option<SelfTestRecording>,
    },
    NewCallKey {
        data: PathBuf,
    },
    ForgetCallKeys {
        data: PathBuf,
    },
    /// Whether the system's clock is set by somebody.
    QueryTimeSync {
        now: WallTime,
    },
    /// Random bytes for a one-time code.
    NewCode {
        session: SessionId,
    },
    /// A workstation's certificate.
    Sign(SignRequest),
    /// A new certificate for the box to show.
    RenewCertificate {
        authority: Arc<CertificateAuthority>,
        now: WallTime,
    },
}

/// A workstation's request for a certificate, and what the certificate is to say.
pub struct SignRequest {
    pub session: SessionId,
    pub authority: Arc<CertificateAuthority>,
    pub now: WallTime,
    pub request: Vec<u8>,
    pub machine: String,
    pub kinds: Vec<Kind>,
}

/// A configuration is to be read again.
pub struct ReadConfigRequest {
    pub session: Option<SessionId>,
    pub apply: bool,
    pub path: PathBuf,
    /// The data directory in use, where the public keys may lie.
    pub data: PathBuf,
    /// Envelopes to make, if the public keys changed.
    pub stock: usize,
}

/// What a configuration that was read again brings.
pub struct ReloadedConfig {
    pub config: Box<Config>,
    /// The names in its `[local]`, looked up.
    pub local_ids: LocalIds,
    /// Public keys other than those sealed to so far, and a stock of envelopes for them.
    pub new_recipients: Option<(Vec<Recipient>, Vec<Envelope>)>,
}

/// What came of it.
pub enum WorkerReply {
    PinChecked {
        session: SessionId,
        right: bool,
    },
    Envelopes(Vec<Envelope>),
    ConfigRead {
        session: Option<SessionId>,
        apply: bool,
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
    TimeSync(TimeSync),
    /// Done, and nobody has to know.
    NoResult,
    /// The thread is free again.
    ThreadFinished,
    /// It could not be done: a reason to stop.
    Failed(String),
}

/// The queue in front of the helper.
pub struct Worker {
    recipients: Arc<Vec<Recipient>>,
    seal: bool,
    requests: VecDeque<WorkerRequest>,
    is_busy: bool,
    sender: Sender<WorkerReply>,
    replies: Receiver<WorkerReply>,
    waker: Arc<Waker>,
}

impl Worker {
    /// A helper that seals to `recipients`, or not at all.
    #[must_use]
    pub fn new(recipients: Vec<Recipient>, seal: bool, waker: Arc<Waker>) -> Worker {
        let (sender, answers) = channel();
        let (recipients, requests) = (Arc::new(recipients), VecDeque::new());
        Worker { recipients, seal, requests, is_busy: false, sender, replies: answers, waker }
    }

    /// Seals to these from now on. To be called while the answer of a `ReadConfigRequest` is taken in: one
    /// request is served at a time, so nothing under way is sealed to the ones before.
    pub fn set_recipients(&mut self, recipients: Vec<Recipient>) {
        self.recipients = Arc::new(recipients);
    }

    /// Whatever people at the doors ask for comes after what the box needs for itself.
    pub fn submit(&mut self, request: WorkerRequest) {
        let at_the_door = |request: &WorkerRequest| {
            matches!(request, WorkerRequest::CheckPin { .. } | WorkerRequest::Sign(_))
        };
        let first = self.requests.iter().position(at_the_door).filter(|_| !at_the_door(&request));
        self.requests.insert(first.unwrap_or(self.requests.len()), request);
        self.start_next();
    }

    fn start_next(&mut self) {
        if self.is_busy {
            return;
        }
        let Some(request) = self.requests.pop_front() else { return };
        let (sender, waker) = (self.sender.clone(), self.waker.clone());
        let (recipients, seal) = (self.recipients.clone(), self.seal);
        let work = move || {
            for answer in [execute_request(request, &recipients, seal), WorkerReply::ThreadFinished]
            {
                drop(sender.send(answer));
            }
            if let Err(error) = waker.wake() {
                log::error!("the loop cannot be woken: {error}");
            }
        };
        match std::thread::Builder::new().name("helper".to_string()).spawn(work) {
            Ok(_) => self.is_busy = true,
            Err(error) => {
                drop(self.sender.send(WorkerReply::Failed(format!("no thread: {error}"))))
            }
        }
    }

    /// The next answer, if there is one.
    pub fn next_reply(&mut self) -> Option<WorkerReply> {
        match self.replies.try_recv().ok()? {
            WorkerReply::ThreadFinished => {
                self.is_busy = false;
                self.start_next();
                self.next_reply()
            }
            answer => Some(answer),
        }
    }
}

fn execute_request(request: WorkerRequest, recipients: &[Recipient], seal: bool) -> WorkerReply {
    match request {
        WorkerRequest::CheckPin { session, hash, pin } => {
            WorkerReply::PinChecked { session, right: verify_pin(&hash, &pin) }
        }
        WorkerRequest::MakeEnvelopes { count } => match generate_envelopes(count, recipients, seal)
        {
            Ok(made) => WorkerReply::Envelopes(made),
            Err(error) => WorkerReply::Failed(error),
        },
        WorkerRequest::ReadConfig(wanted) => {
            let result = load_changed_config(&wanted, recipients, seal);
            WorkerReply::ConfigRead { session: wanted.session, apply: wanted.apply, result }
        }
        WorkerRequest::Summarise { data, today, damaged } => {
            let done = crate::shell::os::recover::summarise_days(&data, today, damaged);
            WorkerReply::Summarised(done.map_err(|error| error.to_string()))
        }
        WorkerRequest::EditConfig { session, edit, by, read } => {
            let result = crate::shell::config_file::edit_config_file(&read.path, &edit);
            let result = result.and_then(|()| load_changed_config(&read, recipients, seal));
            WorkerReply::ConfigEdited { session, edit, by, result }
        }
        WorkerRequest::MakeSelfTestKeys => {
            WorkerReply::SelfTestKeys(selftest::generate_keys(recipients, seal).map(Box::new))
        }
        WorkerRequest::SelfTest { data, tape } => {
            WorkerReply::SelfTestDone(selftest::run_disk_test(&data, tape))
        }
        WorkerRequest::NewCallKey { data } => {
            let made = data_dir::create_call_key(&data);
            WorkerReply::CallKey(made.map_err(|error| log::error!("{error}")).ok())
        }
        WorkerRequest::QueryTimeSync { now } => {
            WorkerReply::TimeSync(crate::shell::os::time_sync::query_time_sync(now))
        }
        WorkerRequest::NewCode { session } => {
            let mut random = Zeroizing::new([0; SECRET_BYTES]);
            match getrandom::fill(&mut *random) {
                Ok(()) => WorkerReply::CodeRandom { session, random },
                Err(error) => WorkerReply::Failed(format!("no random bits: {error}")),
            }
        }
        WorkerRequest::Sign(sign) => {
            let SignRequest { session, authority, now, request, machine, kinds } = sign;
            let result = authority.sign_request(now, &request, (&machine, &kinds));
            WorkerReply::Signed { session, result }
        }
        WorkerRequest::RenewCertificate { authority, now } => WorkerReply::CertificateRenewed(
            authority.issue_server_certificate(now).map_err(|error| error.to_string()),
        ),
        WorkerRequest::ForgetCallKeys { data } => {
            match data_dir::remove_old_call_keys(&data) {
                Ok(()) => WorkerReply::NoResult,
                // The replacement begins anew, and ends with forgetting.
                Err(error) => {
                    log::error!("{error}");
                    WorkerReply::CallKey(None)
                }
            }
        }
    }
}

/// Compares a PIN with its argon2id PHC string, in constant time.
fn verify_pin(hash: &str, pin: &str) -> bool {
    use argon2::password_hash::PasswordVerifier;
    argon2::password_hash::phc::PasswordHash::new(hash)
        .is_ok_and(|hash| argon2::Argon2::default().verify_password(pin.as_bytes(), &hash).is_ok())
}

/// Whether recordings are sealed stays as it was at the start; to whom may change.
fn load_changed_config(
    wanted: &ReadConfigRequest,
    before: &[Recipient],
    seal: bool,
) -> Result<ReloadedConfig, String> {
    let config = Box::new(crate::shell::event_loop::read_config(&wanted.path)?);
    let local_ids = LocalIds::resolve_names(&config.local);
    if !seal || !config.store.seal {
        return Ok(ReloadedConfig { config, local_ids, new_recipients: None });
    }
    let recipients = crate::shell::os::data_dir::reload_recipients(&config, &wanted.data);
    let recipients = recipients.map_err(|error| error.to_string())?;
    let words = |all: &[Recipient]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    if words(&recipients) == words(before) {
        return Ok(ReloadedConfig { config, local_ids, new_recipients: None });
    }
    let stock = generate_envelopes(wanted.stock, &recipients, seal)?;
    Ok(ReloadedConfig { config, local_ids, new_recipients: Some((recipients, stock)) })
}

/// Makes envelopes; slow (see `Envelope::make`), so not for the loop, but for its start.
///
/// # Errors
/// In words: no random bits, or a recipient that cannot be sealed to.
pub fn generate_envelopes(
    count: usize,
    recipients: &[Recipient],
    seal: bool,
) -> Result<Vec<Envelope>, String> {
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        let mut random = [0; 42];
        getrandom::fill(&mut random).map_err(|error| format!("no random bits: {error}"))?;
        if !seal {
            made.push(Envelope::without_key(random));
            continue;
        }
        let envelope = Envelope::for_recipients(random, recipients);
        made.push(envelope.map_err(|error| format!("no data key: {error}"))?);
    }
    Ok(made)
}
