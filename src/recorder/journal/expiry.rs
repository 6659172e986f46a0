//! Looking for records of closed days that are past their retention.
//!
//! The catalogue says which days have any; their rows are gone through, a few reads at a time, and
//! what has expired is taken into the index, where `retention` finds it like everything else.
//! Nothing is deleted here.

use crate::id::SessionId;
use crate::limits;
use crate::recorder::Recorder;
use crate::store::archive::{Browser, Damaged, Fetch, Step};
use crate::store::day::Day;
use crate::store::index::Filter;
use crate::time::{Mono, Now};

/// Reads for nobody's session.
pub(in crate::recorder) const NOBODY: SessionId = SessionId(0);

/// Where the search stands.
#[derive(Debug, Default)]
pub(in crate::recorder) struct Expiry {
    browser: Option<Browser>,
    /// Number of the first row of the day that is gone through.
    first: u64,
    /// The day that is, or was last, gone through; none: a new round begins.
    day: Option<Day>,
    fetch: Option<Fetch>,
    /// Before that no other round begins.
    next: Mono,
}

/// How far a step came.
enum Came {
    Further,
    Wait,
    /// Every day has been gone through.
    Round,
}

impl Recorder {
    /// Whether there may be expired records that are not in the index.
    pub(in crate::recorder) fn may_have_expired(&self, now: Now) -> bool {
        let round = self.expiry.day.is_some() || now.mono >= self.expiry.next;
        round && self.past.catalogue.expired(now.wall).next().is_some()
    }

    /// Goes on looking, as long as there is not enough to delete already. A round begins when
    /// `retention` looks too.
    pub(in crate::recorder) fn seek_expired(&mut self, now: Now) {
        let enough = self.index.expired(now.wall).nth(limits::EXPIRED_AHEAD).is_some();
        let begins = self.expiry.day.is_none();
        let due = !begins || self.expires_now(now);
        if enough || !due || !self.may_have_expired(now) {
            return self.forget_reader(NOBODY);
        }
        if begins {
            self.expiry.next = now.mono.after_ms(limits::RETENTION_MS);
        }
        for _ in 0..limits::ROWS_PER_TURN {
            match self.seek_one(now) {
                Ok(Came::Further) => {}
                Ok(Came::Wait) => return,
                Ok(Came::Round) => {
                    self.expiry.day = None;
                    return;
                }
                Err(damaged) => {
                    self.is_damaged(damaged);
                    (self.expiry.browser, self.expiry.fetch) = (None, None);
                    return;
                }
            }
        }
    }

    fn seek_one(&mut self, now: Now) -> Result<Came, Damaged> {
        if let Some(mut fetch) = self.expiry.fetch.take() {
            match fetch.step(self.known())? {
                Step::Found(record) => {
                    self.index.adopt(record);
                    self.expire_soon(now);
                }
                Step::End => {}
                Step::Need(need) => {
                    let bytes = self.have(NOBODY, &need);
                    let came = if bytes.is_some() { Came::Further } else { Came::Wait };
                    bytes.map_or(Ok(()), |bytes| fetch.give(&bytes))?;
                    self.expiry.fetch = Some(fetch);
                    return Ok(came);
                }
            }
            return Ok(Came::Further);
        }
        let Some(mut browser) = self.expiry.browser.take() else { return Ok(self.next_day(now)) };
        if browser.reached().is_some_and(|reached| reached <= self.expiry.first) {
            return Ok(Came::Further);
        }
        match browser.step(self.known()) {
            Step::Found(row) => {
                if row.is_expired(now.wall) && self.index.record(row.id).is_none() {
                    self.expiry.fetch = Some(Fetch::new(row));
                }
            }
            Step::End => return Ok(Came::Further),
            Step::Need(need) => match self.have(NOBODY, &need) {
                Some(bytes) => browser.give(&bytes)?,
                None => {
                    self.expiry.browser = Some(browser);
                    return Ok(Came::Wait);
                }
            },
        }
        self.expiry.browser = Some(browser);
        Ok(Came::Further)
    }

    /// Begins with the next day that has anything expired.
    fn next_day(&mut self, now: Now) -> Came {
        let after = self.expiry.day;
        let mut days = self.past.catalogue.expired(now.wall);
        let Some(day) = days.find(|day| after.is_none_or(|after| day.day > after)) else {
            return Came::Round;
        };
        let before = Some(day.last_sequence.saturating_add(1));
        (self.expiry.day, self.expiry.first) = (Some(day.day), day.first_sequence);
        self.expiry.browser = Some(Browser::new(Filter { before, ..Filter::default() }));
        Came::Further
    }
}
