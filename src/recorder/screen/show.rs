//! Rows of `show` about a screen: its times in milliseconds, and what is not stored.
//!
//! Positions are milliseconds since the daemon started. A screen-only recording uses the rows of
//! every recording instead.

use crate::limits;
use crate::recorder::Recorder;
use crate::store::index::Record;
use protocol::reply;

impl Recorder {
    /// Writes the rows of a call's screen, if any: `what=screen`, and `what=span kind=screen`.
    pub(in crate::recorder) fn write_screen_rows(record: &Record, out: &mut Vec<u8>) {
        let Some(screen) = &record.screen else { return };
        let Some(ended) = &screen.ended else {
            return reply::begin_row(out).pair("what", "screen").pair("ended", "-").end();
        };
        let mut unsaid = 0;
        for span in &ended.blackout_spans {
            if out.len() > limits::OUTPUT_BYTES_MAX / 2 {
                unsaid += 1;
                continue;
            }
            let row = reply::begin_row(out).pair("what", "span").pair("kind", "screen");
            let row = row.pair("fate", span.fate.as_str());
            row.pair("from_ms", span.from).pair("to_ms", span.to).end();
        }
        let ledger = ended.ledger;
        let row = reply::begin_row(out).pair("what", "screen").pair("ended", ended.end.as_str());
        let row = row.pair("captured_ms", ledger.total_captured()).pair("stored_ms", ledger.stored);
        let row = row.pair("masked_ms", ledger.masked).pair("held_ms", ledger.held);
        let row = row.pair("lost_ms", ledger.total_lost()).pair("size", ended.size);
        row.pair("unsaid", unsaid).end();
    }
}
