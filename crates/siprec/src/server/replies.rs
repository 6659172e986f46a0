//! Sends responses and keeps the server transactions.

use super::{Server, TimerKey};
use crate::event::SessionKey;
use crate::header::split_list;
use crate::message::{Head, MessageError, Request, StartLine};
use crate::peer::{Peer, Transmit, Transport};
use crate::response::{Reply, RequestEcho, Status};
use crate::transaction::{Outcome, ServerTransaction, TransactionKey, hash};
use ezk_sip_types::Name;
use std::net::SocketAddr;
use std::time::Duration;

impl Server {
    /// Answers without a transaction (RFC 3261 §8.2.7): the same request gets the same response.
    /// So a flood of requests that change nothing takes no memory.
    pub(super) fn reply_stateless(&mut self, now: Duration, request: &Request<'_>, reply: &Reply) {
        self.reply_to_head(now, &request.peer, &request.head, reply);
    }

    fn reply_to_head(&mut self, now: Duration, peer: &Peer, head: &Head<'_>, reply: &Reply) {
        let Some(mut echo) = RequestEcho::of_head(head, peer) else { return };
        let value = |name: &Name| head.value(name).unwrap_or_default();
        let (call_id, from, cseq) = (value(&Name::CALL_ID), value(&Name::FROM), value(&Name::CSEQ));
        let top = head.value(&Name::VIA).and_then(|via| split_list(via).next()).unwrap_or_default();
        let tag = self.random.stateless_tag(&hash(&[call_id, from, cseq, top]));
        let to = head.value(&Name::TO).and_then(crate::header::parse_address);
        let to_tag = to.and_then(|to| crate::header::parameter(to.parameters, "tag"));
        echo.to_tag = to_tag.unwrap_or_default().to_owned();
        self.send_reply(now, &echo, reply, &tag);
    }

    /// 400 for a request that cannot be read, if a response can be addressed.
    pub(super) fn refuse_unreadable(
        &mut self,
        now: Duration,
        peer: &Peer,
        head: &Head<'_>,
        error: MessageError,
    ) {
        if matches!(head.start, StartLine::Request { method: "ACK", .. }) {
            return;
        }
        let reply = Reply::new(Status::BAD_REQUEST).with_warning(&error.to_string());
        self.reply_to_head(now, peer, head, &reply);
    }

    /// Answers a request at once, with protection against its repetition.
    pub(super) fn reply(&mut self, now: Duration, request: &Request<'_>, tag: &str, reply: &Reply) {
        let Some(echo) = RequestEcho::of(request) else { return };
        match self.begin_transaction(now, request, &echo, tag) {
            Some(key) => self.respond(now, key, &echo, reply),
            None => drop(self.send_reply(now, &echo, reply, tag)),
        }
    }

    /// Remembers a request. `None`: all transactions are needed.
    pub(super) fn begin_transaction(
        &mut self,
        now: Duration,
        request: &Request<'_>,
        echo: &RequestEcho,
        tag: &str,
    ) -> Option<TransactionKey> {
        if self.transactions.len() >= self.transactions_max() && !self.forget_transaction() {
            return None;
        }
        let key = TransactionKey::of(request);
        let transaction = ServerTransaction::new(now, request.method, echo.peer, tag);
        self.timers.set(TimerKey::Server(key), Some(transaction.deadline()));
        let before = self.transactions.insert(key, transaction);
        debug_assert!(before.is_none(), "a repetition was found before");
        Some(key)
    }

    /// Forgets the transaction that is needed least. `false`: all are needed.
    fn forget_transaction(&mut self) -> bool {
        let mut refused = None;
        let mut done = None;
        for key in self.timers.keys() {
            let TimerKey::Server(key) = key else { continue };
            match self.transactions.get(&key).and_then(ServerTransaction::expendability) {
                Some(0) => {
                    done = Some(key);
                    break;
                }
                Some(_) => refused = refused.or(Some(key)),
                None => {}
            }
        }
        let Some(key) = done.or(refused) else { return false };
        self.end_transaction(key);
        true
    }

    pub(super) fn end_transaction(&mut self, key: TransactionKey) {
        self.timers.set(TimerKey::Server(key), None);
        let transaction = self.transactions.remove(&key);
        if let Some(merge_key) = transaction.and_then(|transaction| transaction.merge_key) {
            self.merge_index.remove(&merge_key);
        }
    }

    /// Sends a response in a transaction.
    pub(super) fn respond(
        &mut self,
        now: Duration,
        key: TransactionKey,
        echo: &RequestEcho,
        reply: &Reply,
    ) {
        let Some(tag) = self.transactions.get(&key).map(|transaction| transaction.tag.clone())
        else {
            return;
        };
        let bytes = self.send_reply(now, echo, reply, &tag);
        let Some(transaction) = self.transactions.get_mut(&key) else { return };
        if transaction.respond(now, reply.status, bytes) == Outcome::Over {
            self.end_transaction(key);
        } else {
            self.timers.set(TimerKey::Server(key), Some(transaction.deadline()));
        }
    }

    fn send_reply(
        &mut self,
        now: Duration,
        echo: &RequestEcho,
        reply: &Reply,
        tag: &str,
    ) -> Vec<u8> {
        let bytes = echo.write(reply, tag, &self.settings.server_name);
        self.statistics.count_response(echo.peer.remote.ip(), now, reply.status.0);
        self.transmits.push_back(Transmit { peer: echo.peer, bytes: bytes.clone() });
        bytes
    }

    /// The ACK of a response came.
    pub(super) fn acknowledge_transaction(&mut self, now: Duration, key: TransactionKey) {
        let Some(transaction) = self.transactions.get_mut(&key) else { return };
        if transaction.acknowledge(now) == Outcome::Over {
            self.end_transaction(key);
        } else {
            self.timers.set(TimerKey::Server(key), Some(transaction.deadline()));
        }
    }

    pub(super) fn handle_server_timeout(&mut self, now: Duration, key: TransactionKey) {
        let Some(transaction) = self.transactions.get_mut(&key) else { return };
        match transaction.handle_timeout(now) {
            Outcome::Wait => {}
            Outcome::Send => self.transmits.push_back(transaction.transmit()),
            Outcome::Over => return self.end_transaction(key),
            Outcome::NotAcknowledged => {
                self.give_up_ack(now, key);
                return self.end_transaction(key);
            }
            Outcome::NotAnswered => return self.give_up_answer(now, key),
        }
        self.timers.set(TimerKey::Server(key), Some(transaction.deadline()));
    }

    /// `host:port` that requests in the dialog come to.
    pub(super) fn contact_host(&self, peer: &Peer) -> String {
        let address = self.settings.contact_address.unwrap_or(peer.local.ip());
        SocketAddr::new(address, peer.local.port()).to_string()
    }

    /// Adds our contact with the mark of a recording server (RFC 7866 §6.1.2).
    pub(super) fn add_contact(&self, reply: Reply, peer: &Peer) -> Reply {
        let parameter = match peer.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
        };
        let host = self.contact_host(peer);
        reply.with("Contact", &format!("<sip:srs@{host}{parameter}>;+sip.srs"))
    }

    pub(super) fn session_of(&self, key: TransactionKey) -> Option<SessionKey> {
        self.transactions.get(&key).and_then(|transaction| transaction.session)
    }
}
