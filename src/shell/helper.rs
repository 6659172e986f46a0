//! The helper: slow arithmetic in a short-lived thread, one at a time.
//!
//! Hashing a PIN and wrapping data keys take milliseconds to hundreds of them; neither belongs in
//! the loop or in front of the disk. Requests wait here in order; the answer comes back as an
//! `Answer` with a wake-up.

use crate::id::SessionId;
use crate::store::seal::{Envelope, Recipient};
use mio::Waker;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use zeroize::Zeroizing;

/// What is asked.
pub enum Request {
    CheckPin { session: SessionId, hash: String, pin: Zeroizing<String> },
    Envelopes { count: usize },
    ReadConfig { session: Option<SessionId>, apply: bool, path: PathBuf },
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
        result: Result<Box<crate::config::Config>, String>,
    },
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

    pub fn ask(&mut self, request: Request) {
        self.requests.push_back(request);
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
        Request::Envelopes { count } => envelopes(count, recipients, seal),
        Request::ReadConfig { session, apply, path } => {
            let result = super::daemon::read_config(&path).map(Box::new);
            Answer::Config { session, apply, result }
        }
    }
}

/// Compares a PIN with its argon2id PHC string, in constant time.
fn pin_is_right(hash: &str, pin: &str) -> bool {
    use argon2::password_hash::PasswordVerifier;
    argon2::password_hash::phc::PasswordHash::new(hash)
        .is_ok_and(|hash| argon2::Argon2::default().verify_password(pin.as_bytes(), &hash).is_ok())
}

fn envelopes(count: usize, recipients: &[Recipient], seal: bool) -> Answer {
    let mut made = Vec::with_capacity(count);
    for _ in 0..count {
        let mut random = [0; 42];
        if let Err(error) = getrandom::fill(&mut random) {
            return Answer::Failed(format!("no random bits: {error}"));
        }
        if !seal {
            made.push(Envelope::unsealed(random));
            continue;
        }
        match Envelope::make(random, recipients) {
            Ok(envelope) => made.push(envelope),
            Err(error) => return Answer::Failed(format!("no data key: {error}")),
        }
    }
    Answer::Envelopes(made)
}
