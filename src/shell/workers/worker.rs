//! The helper: slow arithmetic in a short-lived thread, one at a time.
//!
//! Hashing a PIN and wrapping data keys take milliseconds to hundreds of them, closing a day takes
//! longer, and a key file waits for the disk; none of that belongs in the loop or in front of the
//! disk's jobs. Requests wait in order; the answer comes back as an `Answer` with a wake-up.

use crate::config::Config;
use crate::config::edit::Edit;
use crate::doors::Certificate;
use crate::id::SessionId;
use crate::recorder::TimeSync;
use crate::selftest::{Found, Keys, Tape};
use crate::shell::net::ca::{Authority, Shown};
use crate::shell::net::peer::LocalIds;
use crate::shell::os::data_dir;
use crate::shell::workers::selftest;
use crate::store::archive::Catalogue;
use crate::store::day::Day;
use crate::store::seal::{DataKey, Envelope, Recipient};
use crate::time::Wall;
use mio::Waker;
use protocol::Kind;
use protocol::one_time::SECRET_BYTES;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use zeroize::Zeroizing;

/// What is asked.
pub enum Request {
    CheckPin {
        session: SessionId,
        hash: String,
        pin: Zeroizing<String>,
    },
    Envelopes {
        count: usize,
    },
    ReadConfig(ReadConfig),
    /// Close the days before `today`.
    Summarise {
        data: PathBuf,
        today: Day,
        damaged: Option<Day>,
    },
    /// Change the configuration file, then read it again.
    EditConfig {
        session: SessionId,
        edit: Edit,
        by: String,
        read: ReadConfig,
    },
    /// Keys for a self-test's recording.
    TrialKeys,
    /// A self-test's part of the disk.
    Trial {
        data: PathBuf,
        tape: Option<Tape>,
    },
    NewCallKey {
        data: PathBuf,
    },
    ForgetCallKeys {
        data: PathBuf,
    },
    /// Whether the system's clock is set by somebody.
    TimeSync {
        now: Wall,
    },
    /// Random bytes for a one-time code.
    NewCode {
        session: SessionId,
    },
    /// A workstation's certificate.
    Sign(Sign),
    /// A new certificate for the box to show.
    Renew {
        authority: Arc<Authority>,
        now: Wall,
    },
}

/// A workstation's request for a certificate, and what the certificate is to say.
pub struct Sign {
    pub session: SessionId,
    pub authority: Arc<Authority>,
    pub now: Wall,
    pub request: Vec<u8>,
    pub machine: String,
    pub kinds: Vec<Kind>,
}

/// A configuration is to be read again.
pub struct ReadConfig {
    pub session: Option<SessionId>,
    pub apply: bool,
    pub path: PathBuf,
    /// The data directory in use, where the public keys may lie.
    pub data: PathBuf,
    /// Envelopes to make, if the public keys changed.
    pub stock: usize,
}

/// What a configuration that was read again brings.
pub struct Fresh {
    pub config: Box<Config>,
    /// The names in its `[local]`, looked up.
    pub local_ids: LocalIds,
    /// Public keys other than those sealed to so far, and a stock of envelopes for them.
    pub sealed: Option<(Vec<Recipient>, Vec<Envelope>)>,
}

/// What came of it.
pub enum Answer {
    Pin {
        session: SessionId,
        right: bool,
    },
    Envelopes(Vec<Envelope>),
    Config {
        session: Option<SessionId>,
        apply: bool,
        result: Result<Fresh, String>,
    },
    Summarised(Result<(Catalogue, u64), String>),
    ConfigEdited {
        session: SessionId,
        edit: Edit,
        by: String,
        result: Result<Fresh, String>,
    },
    TrialKeys(Result<Box<Keys>, String>),
    Trial(Found),
    /// The new call key, if it could be written.
    CallKey(Option<DataKey>),
    Code {
        session: SessionId,
        random: Zeroizing<[u8; SECRET_BYTES]>,
    },
    Signed {
        session: SessionId,
        result: Result<Certificate, String>,
    },
    Renewed(Result<Shown, String>),
    TimeSync(TimeSync),
    /// Done, and nobody has to know.
    Done,
    /// The thread is free again.
    Free,
    /// It could not be done: a reason to stop.
    Failed(String),
}

/// The queue in front of the helper.
pub struct Helper {
    recipients: Arc<Vec<Recipient>>,
    seal: bool,
    requests: VecDeque<Request>,
    busy: bool,
    sender: Sender<Answer>,
    answers: Receiver<Answer>,
    waker: Arc<Waker>,
}

impl Helper {
    /// A helper that seals to `recipients`, or not at all.
    #[must_use]
    pub fn new(recipients: Vec<Recipient>, seal: bool, waker: Arc<Waker>) -> Helper {
        let (sender, answers) = channel();
        let (recipients, requests) = (Arc::new(recipients), VecDeque::new());
        Helper { recipients, seal, requests, busy: false, sender, answers, waker }
    }

    /// Seals to these from now on. To be called while the answer of a `ReadConfig` is taken in: one
    /// request is served at a time, so nothing under way is sealed to the ones before.
    pub fn seal_to(&mut self, recipients: Vec<Recipient>) {
        self.recipients = Arc::new(recipients);
    }

    /// Whatever people at the doors ask for comes after what the box needs for itself.
    pub fn ask(&mut self, request: Request) {
        let at_the_door =
            |request: &Request| matches!(request, Request::CheckPin { .. } | Request::Sign(_));
        let first = self.requests.iter().position(at_the_door).filter(|_| !at_the_door(&request));
        self.requests.insert(first.unwrap_or(self.requests.len()), request);
        self.start();
    }

    fn start(&mut self) {
        if self.busy {
            return;
        }
        let Some(request) = self.requests.pop_front() else { return };
        let (sender, waker) = (self.sender.clone(), self.waker.clone());
        let (recipients, seal) = (self.recipients.clone(), self.seal);
        let work = move || {
            for answer in [serve(request, &recipients, seal), Answer::Free] {
                drop(sender.send(answer));
            }
            if let Err(error) = waker.wake() {
                log::error!("the loop cannot be woken: {error}");
            }
        };
        match std::thread::Builder::new().name("helper".to_string()).spawn(work) {
            Ok(_) => self.busy = true,
            Err(error) => drop(self.sender.send(Answer::Failed(format!("no thread: {error}")))),
        }
    }

    /// The next answer, if there is one.
    pub fn answer(&mut self) -> Option<Answer> {
        match self.answers.try_recv().ok()? {
            Answer::Free => {
                self.busy = false;
                self.start();
                self.answer()
            }
            answer => Some(answer),
        }
    }
}

fn serve(request: Request, recipients: &[Recipient], seal: bool) -> Answer {
    match request {
        Request::CheckPin { session, hash, pin } => {
            Answer::Pin { session, right: pin_is_right(&hash, &pin) }
        }
        Request::Envelopes { count } => match envelopes(count, recipients, seal) {
            Ok(made) => Answer::Envelopes(made),
            Err(error) => Answer::Failed(error),
        },
        Request::ReadConfig(wanted) => {
            let result = read_config(&wanted, recipients, seal);
            Answer::Config { session: wanted.session, apply: wanted.apply, result }
        }
        Request::Summarise { data, today, damaged } => {
            let done = crate::shell::os::recover::summarise(&data, today, damaged);
            Answer::Summarised(done.map_err(|error| error.to_string()))
        }
        Request::EditConfig { session, edit, by, read } => {
            let result = crate::shell::setup::edit(&read.path, &edit);
            let result = result.and_then(|()| read_config(&read, recipients, seal));
            Answer::ConfigEdited { session, edit, by, result }
        }
        Request::TrialKeys => Answer::TrialKeys(selftest::keys(recipients, seal).map(Box::new)),
        Request::Trial { data, tape } => Answer::Trial(selftest::run(&data, tape)),
        Request::NewCallKey { data } => {
            let made = data_dir::new_call_key(&data);
            Answer::CallKey(made.map_err(|error| log::error!("{error}")).ok())
        }
        Request::TimeSync { now } => Answer::TimeSync(crate::shell::os::time_sync::look(now)),
        Request::NewCode { session } => {
            let mut random = Zeroizing::new([0; SECRET_BYTES]);
            match getrandom::fill(&mut *random) {
                Ok(()) => Answer::Code { session, random },
                Err(error) => Answer::Failed(format!("no random bits: {error}")),
            }
        }
        Request::Sign(sign) => {
            let Sign { session, authority, now, request, machine, kinds } = sign;
            let result = authority.sign(now, &request, (&machine, &kinds));
            Answer::Signed { session, result }
        }
        Request::Renew { authority, now } => {
            Answer::Renewed(authority.renew(now).map_err(|error| error.to_string()))
        }
        Request::ForgetCallKeys { data } => {
            match data_dir::forget_old_call_keys(&data) {
                Ok(()) => Answer::Done,
                // The replacement begins anew, and ends with forgetting.
                Err(error) => {
                    log::error!("{error}");
                    Answer::CallKey(None)
                }
            }
        }
    }
}

/// Compares a PIN with its argon2id PHC string, in constant time.
fn pin_is_right(hash: &str, pin: &str) -> bool {
    use argon2::password_hash::PasswordVerifier;
    argon2::password_hash::phc::PasswordHash::new(hash)
        .is_ok_and(|hash| argon2::Argon2::default().verify_password(pin.as_bytes(), &hash).is_ok())
}

/// Whether recordings are sealed stays as it was at the start; to whom may change.
fn read_config(wanted: &ReadConfig, before: &[Recipient], seal: bool) -> Result<Fresh, String> {
    let config = Box::new(crate::shell::event_loop::read_config(&wanted.path)?);
    let local_ids = LocalIds::look_up(&config.local);
    if !seal || !config.store.seal {
        return Ok(Fresh { config, local_ids, sealed: None });
    }
    let recipients = crate::shell::os::data_dir::recipients_again(&config, &wanted.data);
    let recipients = recipients.map_err(|error| error.to_string())?;
    let words = |all: &[Recipient]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    if words(&recipients) == words(before) {
        return Ok(Fresh { config, local_ids, sealed: None });
    }
    let stock = envelopes(wanted.stock, &recipients, seal)?;
    Ok(Fresh { config, local_ids, sealed: Some((recipients, stock)) })
}

/// Makes envelopes; slow (see `Envelope::make`), so not for the loop, but for its start.
///
/// # Errors
/// In words: no random bits, or a recipient that cannot be sealed to.
pub fn envelopes(
    count: usize,
    recipients: &[Recipient],
    seal: bool,
) -> Result<Vec<Envelope>, String> {
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        let mut random = [0; 42];
        getrandom::fill(&mut random).map_err(|error| format!("no random bits: {error}"))?;
        if !seal {
            made.push(Envelope::unsealed(random));
            continue;
        }
        let envelope = Envelope::make(random, recipients);
        made.push(envelope.map_err(|error| format!("no data key: {error}"))?);
    }
    Ok(made)
}
