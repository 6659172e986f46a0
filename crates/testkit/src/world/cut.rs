//! Power cuts, and the start after them.

use super::{AGENTS, Masked, RATE, Told, World};
use crate::sim::disk::Tail;
use hushbox::store::fact::RecordReason;
use std::collections::BTreeSet;

impl World {
    /// Cuts the power; `tail` decides which unsynced bytes of each file survive. Then starts the
    /// recorder, reconnects all clients and checks everything acknowledged.
    pub fn cut(&mut self, tail: impl FnMut(&str, usize) -> Option<Tail>) {
        self.cut_again(tail, None);
    }

    /// Cuts the power, and again `soon` jobs later. If the start needs fewer jobs, the second cut
    /// happens after it. An already armed cut stays armed; if it happens during the start, the
    /// recorder stays dead.
    pub fn cut_again(
        &mut self,
        mut tail: impl FnMut(&str, usize) -> Option<Tail>,
        soon: Option<u64>,
    ) {
        let (boot, head) = (self.sim.boot, self.sim.head(0));
        self.tell(&format!("cut after {} jobs, fatal {:?}", self.sim.disk.jobs, self.sim.fatal));
        self.known.busy = self.sim.disk.is_dead();
        let unsure: BTreeSet<usize> = self.pending("").collect();
        let mut dark: BTreeSet<usize> =
            self.pending("blackout").chain(self.pending("call")).collect();
        self.known.vague.extend(dark.iter().map(|agent| (boot, *agent)));
        dark.append(&mut self.known.shaky);
        dark.extend((1..=AGENTS).filter(|agent| self.near_ceiling(*agent)));
        // A blackout that was ending with its call may have ended, and later audio is not
        // guaranteed. A stop that is not journalled has released nothing (G5).
        for (agent, at) in self.stopping("call st") {
            self.lighten_channel(agent, at);
        }
        let stops = self.stopping("blackout stop");
        let end = |masked: &mut Masked| masked.to = masked.to.or(Some(head));
        self.known.masked.iter_mut().for_each(end);
        self.sim.disk.refuse = None;
        (self.sim.disk.delay_us, self.sim.disk.stuck) = (0, false);
        let armed = self.sim.disk.cut_at.filter(|at| *at > self.sim.disk.jobs);
        self.sim.disk.cut_as(&mut tail);
        self.assert_recovers();
        self.sim.disk.cut_at = soon.map(|soon| self.sim.disk.jobs + soon).or(armed);
        self.sim.start_again();
        if self.dead() && armed.is_some() {
            self.known.shaky = dark;
            return;
        }
        if self.dead() {
            // The second cut came during the start.
            self.sim.disk.begin_last();
            self.sim.disk.cut_as(&mut tail);
            self.assert_recovers();
            self.sim.start_again();
        }
        assert_eq!(self.sim.fatal, None);
        self.assert_kept((boot, head), &unsure);
        let still = self.adopt(&dark);
        for (agent, at) in stops.into_iter().filter(|(agent, _)| !still.contains(agent)) {
            let here = |m: &&mut Masked| (m.boot, m.channel, m.to) == (boot, agent, Some(head));
            self.known.masked.iter_mut().filter(here).for_each(|m| m.to = Some(at.max(m.from)));
        }
        self.arrive();
        if std::mem::take(&mut self.known.troubled) {
            self.known.troubles.insert(boot);
        }
        self.assert_image();
    }

    /// Stops the recorder in order, unless the power cut comes first, and starts it without loss.
    pub fn restart(&mut self) {
        if self.dead() {
            return;
        }
        self.tell("stop");
        self.sim.input(hushbox::recorder::Input::Stop);
        for _ in 0..500 {
            if self.dead() || self.sim.stopped {
                break;
            }
            self.sim.run_ms(20);
            self.listen();
        }
        if self.dead() {
            return;
        }
        assert!(self.sim.stopped, "the box does not stop");
        assert!(self.sim.disk.unsynced().is_empty(), "stopped, but not durable");
        let report = self.sim.verify_stopped();
        assert!(report.is_clean(), "verify after a stop: {:?}", report.findings);
        self.cut(|_, _| None);
    }

    pub(super) fn pending(&self, word: &str) -> impl Iterator<Item = usize> {
        let all = self.asked.values().flatten();
        all.filter(move |asked| asked.line.starts_with(word)).map(|asked| asked.agent)
    }

    /// Whether an agent's blackout may just have reached its maximum length.
    fn near_ceiling(&self, agent: usize) -> bool {
        let (boot, head) = (self.sim.boot, self.sim.head(0));
        // A blackout from before the start may end sooner.
        let open = |m: &&Masked| (m.boot, m.channel, m.to) == (boot, agent, None);
        let due = |m: &Masked| m.from == 0 || head - m.from + RATE / 10 >= self.site.max_s * RATE;
        self.site.max_s < 60 && self.known.masked.iter().filter(open).any(due)
    }

    fn stopping(&self, words: &str) -> Vec<(usize, u64)> {
        let all = self.asked.values().flatten().filter(|asked| asked.line.starts_with(words));
        all.map(|asked| (asked.agent, asked.head)).collect()
    }

    /// Updates the model after a start from the journal. Calls continue, and blackouts mask from
    /// the first position. Returns the agents with an active blackout.
    fn adopt(&mut self, unsure: &BTreeSet<usize>) -> BTreeSet<usize> {
        let index = self.sim.journal();
        let number = |text: &str| usize::from(text.as_bytes()[text.len() - 1] - b'0');
        self.known.calls.clear();
        for call in index.live_calls() {
            self.known.calls.insert(number(&call.facts.device), call.facts.call.clone());
        }
        let dark: BTreeSet<usize> =
            index.open_blackouts().map(|open| number(&open.agent)).collect();
        for agent in 1..=AGENTS {
            let same = dark.contains(&agent) == self.known.dark.contains(&agent);
            assert!(same || unsure.contains(&agent), "a{agent}: dark {dark:?} after a start");
        }
        self.known.dark = dark.clone();
        self.known.off.clear();
        self.known.receipts.clear();
        self.known.recordings.values_mut().for_each(|told| told.over = true);
        for agent in &dark {
            if self.known.calls.contains_key(agent) {
                self.darken(*agent, 0);
            }
        }
        for record in
            index.running_records().filter(|record| record.reasons.contains(RecordReason::Agent))
        {
            let channel = usize::from(record.began.channel);
            let told = Told { boot: self.sim.boot, channel, at: 0, over: false };
            self.known.recordings.insert(record.id().to_string(), told);
        }
        dark
    }
}

/// Prints the audio lost over many cuts.
pub fn print_losses(losses: &mut [u64]) {
    losses.sort_unstable();
    if let Some(last) = losses.len().checked_sub(1) {
        let at = |percent: usize| losses[last * percent / 100] * 1000 / RATE;
        let (all, median, most) = (losses.len(), at(50), at(100));
        println!("audio lost in {all} cuts: half {median} ms, 90 % {} ms, most {most} ms", at(90));
    }
}
