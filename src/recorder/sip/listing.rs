//! What technicians see of SIPREC: recording clients, sessions and their legs; and the counters.

use super::watch::LegReport;
use super::{SipBoard, SipSession};
use crate::recorder::Recorder;
use crate::recorder::session::response::Response;
use protocol::reply;
use siprec::Method;
use std::net::IpAddr;

/// Bytes of a listing above which no more rows are added; the rest of the reply needs room too.
const LISTING_BYTES: usize = crate::limits::OUTPUT_BYTES_MAX * 3 / 4;

/// One of the counters of a leg.
type LegCounter = fn(&LegReport) -> u64;

impl Recorder {
    /// The reply to `sip`: boards, recording clients, sessions. Numbers and names are not in it.
    pub(in crate::recorder) fn list_sip(&self) -> Response {
        let mut bytes = Vec::new();
        let mut left_out = 0;
        for sip in &self.sip {
            self.write_board_row(sip, &mut bytes);
            for (address, peer) in &sip.server.statistics().peers {
                let requests: u64 = peer.requests.iter().sum();
                let refused = peer.responses[3..].iter().sum::<u64>();
                let row = reply::begin_row(&mut bytes).pair("what", "peer");
                let row = row.pair("board", self.board_name(sip)).pair("address", address);
                let row = row.pair("requests", requests);
                let row = row.pair("invites", peer.requests_of(Method::Invite));
                row.pair("refused", refused).pair("unreadable", peer.unreadable).end();
            }
            for session in sip.sessions.values() {
                if bytes.len() > LISTING_BYTES {
                    left_out += 1;
                    continue;
                }
                self.write_session_rows(sip, session, &mut bytes);
            }
        }
        let ok = reply::begin_ok(&mut bytes);
        let ok = if left_out > 0 { ok.pair("left_out", left_out) } else { ok };
        ok.end();
        Response::immediate(bytes)
    }

    fn board_name(&self, sip: &SipBoard) -> &str {
        &self.config.boards[sip.board].name
    }

    fn write_board_row(&self, sip: &SipBoard, bytes: &mut Vec<u8>) {
        let counters = &sip.counters;
        let index = self.sip.iter().position(|other| other.board == sip.board).unwrap_or(0);
        let why = self.sip_unavailability(index);
        let row = reply::begin_row(bytes).pair("what", "board").pair("board", self.board_name(sip));
        let row = row.pair("sessions", sip.sessions.len()).pair("free", sip.slots_free());
        let row = row.pair("total", counters.sessions).pair("copies", counters.copies);
        let row = row.pair("refused", counters.refused).pair("problems", counters.problems);
        row.pair("state", why.map_or("ready".to_string(), |(why, _)| why)).end();
    }

    fn write_session_rows(&self, sip: &SipBoard, session: &SipSession, bytes: &mut Vec<u8>) {
        let call = session.call.and_then(|call| self.calls.get(call));
        let from: IpAddr = session.peer.remote.ip().to_canonical();
        let row = reply::begin_row(bytes).pair("what", "call").pair("board", self.board_name(sip));
        let row = row.pair("slot", session.slot).pair("transport", session.peer.transport);
        let row = row.pair("from", from).pair("since", session.since);
        let row = row.pair("device", call.map_or("-", |call| &call.device));
        let row = row.pair("call", call.map_or("-", |call| &call.id));
        let state = match call {
            None => "copy",
            Some(call) if call.is_held => "held",
            Some(_) => "recording",
        };
        row.pair("state", state).end();
        let legs = session.legs.iter().zip(&session.watch.reports).enumerate();
        for (leg, (settings, report)) in legs {
            let Some(settings) = settings.as_ref().and_then(|leg| leg.settings.as_ref()) else {
                continue;
            };
            let report = report.unwrap_or_default();
            let crypto = settings.selection.crypto.as_ref();
            let codec = settings.selection.payloads.iter().find_map(|payload| payload.codec());
            let row = reply::begin_row(bytes).pair("what", "leg").pair("slot", session.slot);
            let row = row.pair("side", if leg == 0 { "agent" } else { "customer" });
            let row = row.pair("codec", codec.map_or("-", |codec| codec.name()));
            let row = row.pair("srtp", crypto.map_or("-", |crypto| crypto.key.suite().name()));
            let row = row.pair("sends", if settings.is_sending { "yes" } else { "no" });
            write_report(row, &report);
        }
    }

    /// The counters of SIP and RTP, as `stats` lists them.
    pub(in crate::recorder) fn sip_metrics(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for sip in &self.sip {
            let board = to_label(self.board_name(sip));
            let mut add = |name: &str, value: u64| {
                all.push((format!("{name}{{board=\"{board}\"}}"), value));
            };
            let statistics = sip.server.statistics();
            add("hushbox_sip_sessions", sip.sessions.len() as u64);
            add("hushbox_sip_slots_free", sip.slots_free() as u64);
            add("hushbox_sip_sessions_total", sip.counters.sessions);
            add("hushbox_sip_copies_total", sip.counters.copies);
            add("hushbox_sip_refused_total", sip.counters.refused);
            add("hushbox_sip_problems_total", sip.counters.problems);
            add("hushbox_sip_strangers_total", sip.counters.strangers);
            add("hushbox_sip_digits_total", sip.counters.digits);
            add("hushbox_sip_unreadable_total", statistics.unreadable);
            add("hushbox_sip_transactions", statistics.transactions as u64);
            let peers = statistics.peers.values();
            add(
                "hushbox_sip_requests_total",
                peers.map(|peer| peer.requests.iter().sum::<u64>()).sum(),
            );
            let sum = |value: LegCounter| -> u64 {
                let reports = sip.sessions.values().flat_map(|session| session.watch.reports);
                let running: u64 = reports.flatten().map(|report| value(&report)).sum();
                value(&sip.ended_legs) + running
            };
            let rows: [(&str, LegCounter); 9] = [
                ("hushbox_rtp_packets_total", |leg| leg.packets),
                ("hushbox_rtp_lost_packets_total", |leg| leg.lost),
                ("hushbox_rtp_late_packets_total", |leg| leg.late),
                ("hushbox_rtp_reordered_packets_total", |leg| leg.reordered),
                ("hushbox_rtp_duplicate_packets_total", |leg| leg.duplicates),
                ("hushbox_rtp_kernel_dropped_packets_total", |leg| leg.kernel_dropped),
                ("hushbox_rtp_foreign_packets_total", |leg| leg.foreign),
                ("hushbox_rtp_unusable_packets_total", |leg| leg.unusable),
                ("hushbox_rtp_digits_total", |leg| leg.digits),
            ];
            for (name, value) in rows {
                let value = sum(value);
                all.push((format!("{name}{{board=\"{board}\"}}"), value));
            }
        }
        all
    }
}

fn write_report(row: reply::LineWriter<'_>, report: &LegReport) {
    let row = row.pair("packets", report.packets).pair("lost", report.lost);
    let row = row.pair("late", report.late).pair("reordered", report.reordered);
    let row = row.pair("dropped", report.kernel_dropped).pair("foreign", report.foreign);
    let row = row.pair("unusable", report.unusable).pair("ssrc_changes", report.ssrc_changes);
    row.pair("jitter_us", report.jitter_us).end();
}

/// A name as the value of a label: without quotes, backslashes and spaces.
fn to_label(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    name.chars().map(plain).collect()
}
