//! `hushbox records`: lists recordings, newest first.
//!
//! Phone numbers are shown, and can be used as filters, if an identity opens them. Of each media
//! file only the header with the key is read.

use crate::Outcome;
use crate::cli::RecordsArgs;
use crate::error::{Error, UnsealError};
use crate::output::table::Table;
use crate::store::record_json::RecordJson;
use crate::store::store_dir::StoreDir;
use crate::store::unseal::IdentityKeyring;
use hushbox::store::index::{Record, RecordFilter};
use hushbox::time::{WallTime, ms_of_frames};
use std::io::Write;

const COLUMNS: [&str; 13] = [
    "RECORDING",
    "STARTED",
    "LENGTH",
    "AGENT",
    "DEVICE",
    "CALL",
    "DIR",
    "REASONS",
    "ANI",
    "DNIS",
    "BLACKOUTS",
    "LOST_MS",
    "BYTES",
];

pub fn run(args: &RecordsArgs) -> Result<Outcome, Error> {
    let store = StoreDir::open(&args.config)?;
    let keyring = IdentityKeyring::open(&store, args.identity.as_deref())?;
    let filter = RecordFilter {
        agent: args.agent.clone(),
        device: args.device.clone(),
        call: args.call.clone(),
        from: parse_time("--from", args.from.as_deref())?,
        until: parse_time("--to", args.to.as_deref())?,
        ..RecordFilter::default()
    };
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut listing = RecordListing::start(args.json)?;
    let mut sealed = None;
    store.visit_records(filter, &mut |record| {
        if listing.count == limit {
            return Ok(false);
        }
        let personal = keyring.open_personal_facts(&store, record);
        if let Err(why) = &personal {
            sealed = Some((record.id(), why.clone()));
        }
        let scan = scan_running_media(&store, record);
        let document = RecordJson::from_record(&store, record, &personal, scan.as_ref());
        if matches_filter(&args.ani, &document.ani) && matches_filter(&args.dnis, &document.dnis) {
            listing.add_record(&document)?;
        }
        Ok(true)
    })?;
    if let Some((id, why)) = sealed.filter(|_| args.ani.is_some() || args.dnis.is_some()) {
        warn_sealed_numbers(&id.to_string(), &why);
    }
    listing.finish()?;
    Ok(Outcome::Done)
}

/// Scans the durable part of a running recording.
pub fn scan_running_media(
    store: &StoreDir,
    record: &Record,
) -> Option<hushbox::store::media::MediaScan> {
    let file = record.is_running().then(|| store.open_media(record).ok()).flatten()?;
    hushbox::store::media::scan(file).ok()
}

/// Warns that records with sealed numbers were not compared with the filter.
fn warn_sealed_numbers(id: &str, why: &UnsealError) {
    eprintln!(
        "hushbox: the phone numbers of some records could not be compared, for example {id}: {why}"
    );
    eprintln!("hushbox: pass the private key that opens them with --identity FILE");
}

fn matches_filter(wanted: &Option<String>, found: &Option<String>) -> bool {
    wanted.is_none() || wanted == found
}

/// Parses an RFC 3339 time, or a day as its first moment in UTC.
fn parse_time(flag: &'static str, text: Option<&str>) -> Result<Option<WallTime>, Error> {
    let Some(text) = text else { return Ok(None) };
    let wall = WallTime::parse(text).or_else(|| WallTime::parse(&format!("{text}T00:00:00Z")));
    wall.map(Some).ok_or_else(|| Error::InvalidTime { flag, text: text.to_owned() })
}

/// The output: JSON as records arrive, or a table once its columns are known.
struct RecordListing {
    count: usize,
    /// The table; `None` for JSON.
    table: Option<Table>,
}

impl RecordListing {
    fn start(json: bool) -> Result<RecordListing, Error> {
        if json {
            write!(std::io::stdout(), "[").map_err(Error::Stdout)?;
        }
        let table = (!json).then(|| Table::new(COLUMNS.map(str::to_owned).to_vec()));
        Ok(RecordListing { count: 0, table })
    }

    fn add_record(&mut self, document: &RecordJson) -> Result<(), Error> {
        match &mut self.table {
            Some(table) => table.push_row(format_row(document)),
            None => {
                let text = serde_json::to_string_pretty(document);
                let text = text.map_err(|error| Error::Stdout(error.into()))?;
                let comma = if self.count > 0 { "," } else { "" };
                write!(std::io::stdout(), "{comma}\n{text}").map_err(Error::Stdout)?;
            }
        }
        self.count += 1;
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        match self.table {
            None => writeln!(std::io::stdout(), "\n]").map_err(Error::Stdout),
            Some(_) if self.count == 0 => {
                eprintln!("hushbox: no record matches");
                Ok(())
            }
            Some(table) => write!(std::io::stdout(), "{table}").map_err(Error::Stdout),
        }
    }
}

fn format_row(document: &RecordJson) -> Vec<String> {
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let number = |text: &Option<String>| match document.sealed {
        Some(_) => "sealed".to_owned(),
        None => dash(text),
    };
    let running = if document.complete { "" } else { "+" };
    let lost_ms = ms_of_frames(document.ledger.lost, document.audio.rate.max(1));
    vec![
        document.recording.clone(),
        document.started.clone(),
        format!("{}{running}", format_duration(document.duration_ms)),
        dash(&document.agent),
        document.device.clone(),
        document.call.id.clone(),
        document.call.direction.unwrap_or("-").to_owned(),
        document.reasons.join(","),
        number(&document.ani),
        number(&document.dnis),
        document.blackouts.len().to_string(),
        lost_ms.to_string(),
        document.media.size.to_string(),
    ]
}

/// Formats a length as `1:02:03` or `2:03`.
pub fn format_duration(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    if hours > 0 {
        return format!("{hours}:{minutes:02}:{seconds:02}");
    }
    format!("{minutes}:{seconds:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_human_readable() {
        assert_eq!(
            (format_duration(0), format_duration(61_999)),
            ("0:00".to_owned(), "1:01".to_owned())
        );
        assert_eq!(format_duration(3_723_000), "1:02:03");
    }

    #[test]
    fn day_parses_as_its_first_moment() {
        let day = parse_time("--from", Some("2026-11-22")).ok().flatten();
        assert_eq!(day, WallTime::parse("2026-11-22T00:00:00Z"));
        assert!(parse_time("--to", Some("yesterday")).is_err());
    }
}
