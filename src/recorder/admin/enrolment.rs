//! Enrolment and revocation of workstations, and counts of rejected connections.
//!
//! A technician issues a code. A workstation sends the code and a certificate request over TLS,
//! before hello. The fact is durable before the certificate leaves. Only the index says what a
//! certificate allows, so a revocation takes effect at once, on open sessions too. Signing happens
//! outside the loop.
//!
//! The recorder ignores all names in the request.

use crate::alarm;
use crate::enrolment_code::{CodeError, EnrolmentCodes, IssuedCertificate, PendingEnrolment};
use crate::id::SessionId;
use crate::job::Ticket;
use crate::limits;
use crate::lockout::{Lockouts, Network};
use crate::recorder::session::response::Response;
use crate::recorder::{Output, Peer, Recorder, Session};
use crate::store::fact::{EnrolledWorkstation, Fact};
use crate::time::Now;
use protocol::name::{fold_name, is_same_name};
use protocol::one_time::{FINGERPRINT_BYTES, SECRET_BYTES};
use protocol::{Code, Kind, OneTimeCode, Refusal, reply};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// A technician's request for a one-time code.
pub struct EnrolmentRequest {
    pub machine: String,
    /// Kinds of session that the workstation may open; empty for the default.
    pub kinds: Vec<Kind>,
    /// Name of the technician.
    pub issued_by: String,
}

/// Why a connection or session was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The maximum number of sessions is open.
    Sessions,
    /// The maximum number of sessions from this address is open.
    Address,
    /// Handshakes from this address come too fast.
    Rate,
    /// The handshake timed out, or made room for others.
    Unfinished,
    /// The handshake failed: no TLS, an old version, or a certificate of another CA.
    Handshake,
    /// No hello came in time.
    Mute,
    /// The session was silent for too long.
    Silent,
    /// The client did not read its replies for too long.
    Slow,
}

impl RejectReason {
    pub const ALL: [RejectReason; 8] = [
        RejectReason::Sessions,
        RejectReason::Address,
        RejectReason::Rate,
        RejectReason::Unfinished,
        RejectReason::Handshake,
        RejectReason::Mute,
        RejectReason::Silent,
        RejectReason::Slow,
    ];

    /// Label of the counter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::Sessions => "sessions",
            RejectReason::Address => "address",
            RejectReason::Rate => "rate",
            RejectReason::Unfinished => "unfinished",
            RejectReason::Handshake => "handshake",
            RejectReason::Mute => "mute",
            RejectReason::Silent => "silent",
            RejectReason::Slow => "slow",
        }
    }
}

/// The source that wrong PINs are counted for, which a guesser cannot choose. A machine can have
/// many addresses and PINs are short, so addresses do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recorder) enum PinSource {
    /// An enrolled machine.
    Machine(String),
    /// A user at the unix socket, or a serial port.
    Local(String),
    /// Plain TCP: all processes of this machine, or with `insecure` all hosts.
    PlainTcp,
}

impl PinSource {
    pub fn of(session: &Session) -> PinSource {
        match (&session.enrolled, session.address) {
            (Some(machine), _) => PinSource::Machine(fold_name(machine)),
            (None, Some(_)) => PinSource::PlainTcp,
            (None, None) => PinSource::Local(session.peer.from.clone()),
        }
    }
}

impl std::fmt::Display for PinSource {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PinSource::Machine(name) | PinSource::Local(name) => out.write_str(name),
            PinSource::PlainTcp => out.write_str("plain TCP"),
        }
    }
}

/// Enrolment codes and pending requests.
#[derive(Debug, Default)]
pub(in crate::recorder) struct Enrolment {
    /// Fingerprint of the CA; `None` without a TLS listener.
    fingerprint: Option<[u8; FINGERPRINT_BYTES]>,
    codes: EnrolmentCodes,
    /// Counts of technicians' wrong PINs.
    pub pins: Lockouts<PinSource>,
    /// Sources of the PINs being compared, by session.
    pub comparing: BTreeMap<u64, PinSource>,
    /// Code requests that wait for random bits, by session.
    giving: BTreeMap<u64, PendingEnrolment>,
    /// Certificate requests being signed, by session, with the code they used.
    signing: BTreeMap<u64, (OneTimeCode, PendingEnrolment)>,
    turned_away: [u64; RejectReason::ALL.len()],
}

impl Enrolment {
    /// The fingerprint of the recorder's certificate authority.
    pub fn ca_fingerprint(&self) -> Option<[u8; FINGERPRINT_BYTES]> {
        self.fingerprint
    }

    pub fn reject_counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RejectReason::ALL.iter().map(|why| why.as_str()).zip(self.turned_away)
    }
}

/// Kinds of a workstation enrolled without named kinds.
const DEFAULT_KINDS: [Kind; 2] = [Kind::Agent, Kind::Screen];

impl Recorder {
    /// Enables enrolment for the TLS listener's CA.
    pub fn enable_enrolment(&mut self, fingerprint: [u8; FINGERPRINT_BYTES]) {
        self.admin.enrolment.fingerprint = Some(fingerprint);
    }

    pub fn count_reject(&mut self, why: RejectReason) {
        self.admin.enrolment.turned_away[why as usize] += 1;
    }

    /// Raises or clears the alarm about renewal of the recorder's certificate.
    pub fn certificate_state(&mut self, now: Now, trouble: Option<String>) {
        match trouble {
            Some(text) => {
                let text =
                    format!("the box cannot renew its certificate: {text}; the box tries again");
                self.journal.raise_alarm(now, alarm::AlarmCode::Certificate, "", text);
            }
            None => self.journal.clear_alarm(now, alarm::AlarmCode::Certificate, ""),
        }
    }

    /// Opens a session for a TLS client, with or without a certificate of our CA.
    pub(in crate::recorder) fn accept_tls(
        &mut self,
        now: Now,
        id: SessionId,
        from: String,
        certificate: Option<[u8; 32]>,
    ) {
        let known = certificate.and_then(|c| self.journal.index.enrolments().for_certificate(&c));
        let words = known.into_iter().flat_map(|enrolment| &enrolment.kinds);
        let kinds = words.filter_map(|word| Kind::parse(word)).collect();
        let machine = known.map(|enrolment| enrolment.machine.clone());
        self.handle_connect(now, id, Peer { kinds, from, portal: false });
        if let Some(session) = self.sessions.get_mut(id) {
            (session.secure, session.enrolled) = (true, machine);
        }
    }

    /// `enrol MACHINE`
    pub(in crate::recorder) fn create_enrolment_code(
        &mut self,
        now: Now,
        id: SessionId,
        request: EnrolmentRequest,
    ) -> Result<Response, Refusal> {
        let EnrolmentRequest { machine, kinds, issued_by } = request;
        if self.admin.enrolment.fingerprint.is_none() {
            let text = "no [[listen]] has tls = true: there is nothing to enrol for";
            return Err(Refusal::new(Code::Config, text));
        }
        if machine.chars().any(protocol::text::is_invisible) {
            let text = "MACHINE has characters that cannot be seen; type the name anew";
            return Err(Refusal::new(Code::BadArgument, text));
        }
        let kinds = if kinds.is_empty() { DEFAULT_KINDS.to_vec() } else { kinds };
        let until = now.mono.after_ms(limits::ENROLMENT_CODE_MS);
        let pass = PendingEnrolment { machine, kinds, issued_by, expires_at: until };
        self.admin.enrolment.giving.insert(id.0, pass);
        if let Some(session) = self.sessions.get_mut(id) {
            session.checking = true;
        }
        self.outputs.push_back(Output::NewCode { session: id });
        Ok(Response::immediate(Vec::new()))
    }

    /// Completes a code with its random bits.
    pub(in crate::recorder) fn store_enrolment_code(
        &mut self,
        now: Now,
        id: SessionId,
        random: &Zeroizing<[u8; SECRET_BYTES]>,
    ) {
        let pass = self.admin.enrolment.giving.remove(&id.0);
        let (Some(pass), Some(fingerprint)) = (pass, self.admin.enrolment.fingerprint) else {
            return;
        };
        if self.sessions.get(id).is_none() {
            return;
        }
        let code = OneTimeCode::new(**random, fingerprint);
        let mut bytes = Vec::new();
        log::info!("{} gave a code for {}", pass.issued_by, pass.machine);
        if self.admin.enrolment.codes.register_code(now.mono, &code, pass) {
            reply::begin_ok(&mut bytes).pair("code", &code).end();
        } else {
            let text =
                format!("{} codes wait to be used; let some run out", limits::ENROLMENT_CODES_MAX);
            self.admin.counters.count_refusal(Code::TooMany);
            reply::begin_err(&mut bytes, &Refusal::new(Code::TooMany, text)).end();
        }
        self.send_reply(id, bytes);
    }

    /// `enrol code=CODE`: the reply follows the data block.
    pub(in crate::recorder) fn redeem_enrolment_code(
        &mut self,
        id: SessionId,
        code: &str,
    ) -> Result<Response, Refusal> {
        let Some(session) = self.sessions.get_mut(id) else { return Err(Code::Denied.into()) };
        if !session.secure || self.admin.enrolment.fingerprint.is_none() {
            let text = "certificates are given on TLS listeners only";
            return Err(Refusal::new(Code::Denied, text));
        }
        session.enrols_with = Some(Zeroizing::new(code.to_owned()));
        Ok(Response::immediate(Vec::new()))
    }

    /// Refuses a command that got a line in place of its data block.
    pub(in crate::recorder) fn refuse_missing_block(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.piece.take().is_some() {
            let text = "a data block must follow: data BYTES, the video, LF";
            return self.send_refusal(id, &Refusal::new(Code::BadArgument, text));
        }
        if session.enrols_with.take().is_some() {
            let text = "a data block must follow: data BYTES, the request (CSR), LF";
            self.send_refusal(id, &Refusal::new(Code::BadArgument, text));
        }
    }

    /// Handles a data block, or drops it if no command waits for one.
    pub(in crate::recorder) fn receive_block(
        &mut self,
        now: Now,
        id: SessionId,
        block: Result<&[u8], Refusal>,
    ) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| !session.closing) else {
            return;
        };
        session.last_line = now.mono;
        if let Some(piece) = session.piece.take() {
            let taken = block.and_then(|video| self.accept_segment(now, id, (piece, video)));
            match taken {
                Ok(()) => {
                    let mut bytes = Vec::new();
                    reply::begin_ok(&mut bytes).end();
                    self.send_reply(id, bytes);
                }
                Err(refusal) => self.send_refusal(id, &refusal),
            }
            return;
        }
        let Some(code) = session.enrols_with.take() else { return };
        match block.and_then(|request| self.begin_signing(now, id, &code, request)) {
            Ok(()) => {}
            Err(refusal) => {
                self.send_refusal(id, &refusal);
                self.count_refused_hello(id);
            }
        }
    }

    fn begin_signing(
        &mut self,
        now: Now,
        id: SessionId,
        code: &str,
        request: &[u8],
    ) -> Result<(), Refusal> {
        if self.admin.is_stopping() || self.journal.storage.is_closing() {
            return Err(Code::ShuttingDown.into());
        }
        self.require_disk()?;
        // Only TLS clients reach this, and they have an address.
        let from = self.sessions.get(id).and_then(|session| session.address);
        let Some(from) = from else { return Err(Code::Denied.into()) };
        let (code, pass) = self.admin.enrolment.codes.redeem_code(now.mono, code, from).map_err(
            |why| match why {
                CodeError::LockedOut => Refusal::from(Code::Locked),
                CodeError::Invalid { locks_ms } => {
                    if let Some(ms) = locks_ms {
                        let network = Network::of(from);
                        let text = format!(
                            "{network} sent wrong enrolment codes and is locked out for {} s",
                            ms / 1000
                        );
                        self.journal.raise_alarm(now, alarm::AlarmCode::Guessing, "enrol", text);
                    }
                    let text =
                        "the code is wrong, used, or too old; ask a technician for a new one";
                    Refusal::new(Code::Denied, text)
                }
            },
        )?;
        let (machine, kinds) = (pass.machine.clone(), pass.kinds.clone());
        self.admin.enrolment.signing.insert(id.0, (code, pass));
        if let Some(session) = self.sessions.get_mut(id) {
            session.checking = true;
        }
        let request = request.to_vec();
        self.outputs.push_back(Output::Sign { session: id, request, machine, kinds });
        Ok(())
    }

    /// Handles a signed request. The code of a failed request is valid again.
    pub(in crate::recorder) fn finish_signing(
        &mut self,
        now: Now,
        id: SessionId,
        result: Result<IssuedCertificate, String>,
    ) {
        let Some((code, pass)) = self.admin.enrolment.signing.remove(&id.0) else {
            let text = "the machine was revoked meanwhile";
            return self.send_refusal(id, &Refusal::new(Code::NotEnrolled, text));
        };
        let there = self.sessions.get(id).is_some();
        let over = self.admin.is_stopping() || self.journal.storage.is_closing();
        let certificate = match result {
            Ok(certificate) if there && !over => certificate,
            other => {
                let _is_kept = self.admin.enrolment.codes.register_code(now.mono, &code, pass);
                let refusal = match other {
                    Ok(_) => Code::ShuttingDown.into(),
                    Err(text) => Refusal::new(Code::BadArgument, text),
                };
                return self.send_refusal(id, &refusal);
            }
        };
        let PendingEnrolment { machine, kinds, issued_by: by, .. } = pass;
        let words: Vec<String> = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        let mut bytes = Vec::new();
        reply::write_data(&mut bytes, certificate.chain.as_bytes());
        let line =
            reply::begin_ok(&mut bytes).pair("machine", &machine).pair("kinds", words.join(","));
        line.pair("until", certificate.not_after).end();
        log::info!("{machine} is enrolled as {}, with a code of {by}", words.join(","));
        self.abort_sessions_of(now, &machine);
        let (certificate, until) = (certificate.digest, certificate.not_after);
        let enrolment = EnrolledWorkstation { machine, kinds: words, certificate, until, by };
        let ticket = self.journal.append(now, Fact::Enrolled(enrolment));
        if let Some(session) = self.sessions.get_mut(id) {
            session.checking = false;
            session.queue_reply(ticket, bytes, None);
        }
    }

    /// `revoke MACHINE`: takes effect at once; if the disk is down, only the reply waits.
    pub(in crate::recorder) fn revoke_workstation(
        &mut self,
        now: Now,
        machine: &str,
        by: String,
    ) -> Result<Response, Refusal> {
        let codes = &mut self.admin.enrolment.codes;
        codes.revoke_code(machine);
        self.admin.enrolment.signing.retain(|_, (_, pass)| !is_same_name(&pass.machine, machine));
        let Some(known) = self.journal.index.enrolments().for_machine(machine) else {
            let text = format!("{machine} is not enrolled; its code, if there was one, is void");
            return Err(Refusal::new(Code::NotEnrolled, text));
        };
        let machine = known.machine.clone();
        log::warn!("{machine} is revoked by {by}");
        self.abort_sessions_of(now, &machine);
        let fact = Fact::Revoked { machine, by };
        Ok(Response::ok(self.journal.append(now, fact)))
    }

    /// Aborts every session that was admitted with the machine's certificate.
    fn abort_sessions_of(&mut self, now: Now, machine: &str) {
        let of = |session: &&Session| {
            session.enrolled.as_ref().is_some_and(|known| is_same_name(known, machine))
        };
        let all: Vec<SessionId> = self.sessions.iter().filter(of).map(|s| s.id).collect();
        for id in all {
            self.outputs.push_back(Output::Abort { session: id });
            self.handle_disconnect(now, id);
        }
    }

    /// Cancels a session's pending enrolment: the used code is valid again.
    pub(in crate::recorder) fn take_back_enrolment(&mut self, now: Now, id: SessionId) {
        self.admin.enrolment.comparing.remove(&id.0);
        self.admin.enrolment.giving.remove(&id.0);
        if let Some((code, pass)) = self.admin.enrolment.signing.remove(&id.0) {
            let _is_kept = self.admin.enrolment.codes.register_code(now.mono, &code, pass);
        }
    }

    pub(in crate::recorder) fn send_refusal(&mut self, id: SessionId, refusal: &Refusal) {
        self.admin.counters.count_refusal(refusal.code);
        let mut bytes = Vec::new();
        reply::begin_err(&mut bytes, refusal).end();
        self.send_reply(id, bytes);
    }

    pub(in crate::recorder) fn send_reply(&mut self, id: SessionId, bytes: Vec<u8>) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.checking = false;
            session.queue_reply(Ticket(0), bytes, None);
        }
    }
}
