//! `hushbox records`: what there is, newest first.
//!
//! Numbers are shown, and can be asked for, where an identity opens them. Nothing of the audio is
//! read but the header of each media file that holds the key.

use crate::Outcome;
use crate::cli::RecordsArgs;
use crate::error::Failure;
use crate::output::table::Table;
use crate::store::record_json::Document;
use crate::store::store_dir::StoreDir;
use crate::store::unseal::{Closed, Keyring};
use hushbox::store::index::{Filter, Record};
use hushbox::time::{Wall, ms_of_frames};
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

pub fn run(args: &RecordsArgs) -> Result<Outcome, Failure> {
    let store = StoreDir::open(&args.config)?;
    let keyring = Keyring::open(&store, args.identity.as_deref())?;
    let filter = Filter {
        agent: args.agent.clone(),
        device: args.device.clone(),
        call: args.call.clone(),
        from: moment("--from", args.from.as_deref())?,
        until: moment("--to", args.to.as_deref())?,
        ..Filter::default()
    };
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut listing = Listing::begin(args.json)?;
    let mut closed = None;
    store.each(filter, &mut |record| {
        if listing.count == limit {
            return Ok(false);
        }
        let personal = keyring.personal(&store, record);
        if let Err(why) = &personal {
            closed = Some((record.id(), why.clone()));
        }
        let scan = running_scan(&store, record);
        let document = Document::make(&store, record, &personal, scan.as_ref());
        if is(&args.ani, &document.ani) && is(&args.dnis, &document.dnis) {
            listing.add(&document)?;
        }
        Ok(true)
    })?;
    if let Some((id, why)) = closed.filter(|_| args.ani.is_some() || args.dnis.is_some()) {
        tell_closed(&id.to_string(), &why);
    }
    listing.end()?;
    Ok(Outcome::Done)
}

/// What is durable of a running recording.
pub fn running_scan(store: &StoreDir, record: &Record) -> Option<hushbox::store::media::Scan> {
    let file = record.is_running().then(|| store.open_media(record).ok()).flatten()?;
    hushbox::store::media::scan(file).ok()
}

/// A record that could not be compared with the numbers asked for must not go unsaid.
fn tell_closed(id: &str, why: &Closed) {
    eprintln!(
        "hushbox: the numbers of some records could not be compared, as those of {id}: {why}"
    );
    eprintln!("hushbox: name the identity that opens them with --identity FILE");
}

fn is(wanted: &Option<String>, found: &Option<String>) -> bool {
    wanted.is_none() || wanted == found
}

/// RFC 3339, or a day, which is its first moment in UTC.
fn moment(flag: &'static str, text: Option<&str>) -> Result<Option<Wall>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let wall = Wall::parse(text).or_else(|| Wall::parse(&format!("{text}T00:00:00Z")));
    wall.map(Some).ok_or_else(|| Failure::Moment { flag, text: text.to_owned() })
}

/// What is printed: JSON as it comes, or a table once its columns are known.
struct Listing {
    count: usize,
    /// `None`: JSON.
    table: Option<Table>,
}

impl Listing {
    fn begin(json: bool) -> Result<Listing, Failure> {
        if json {
            write!(std::io::stdout(), "[").map_err(Failure::Output)?;
        }
        let table = (!json).then(|| Table::new(COLUMNS.map(str::to_owned).to_vec()));
        Ok(Listing { count: 0, table })
    }

    fn add(&mut self, document: &Document) -> Result<(), Failure> {
        match &mut self.table {
            Some(table) => table.row(row(document)),
            None => {
                let text = serde_json::to_string_pretty(document);
                let text = text.map_err(|error| Failure::Output(error.into()))?;
                let comma = if self.count > 0 { "," } else { "" };
                write!(std::io::stdout(), "{comma}\n{text}").map_err(Failure::Output)?;
            }
        }
        self.count += 1;
        Ok(())
    }

    fn end(self) -> Result<(), Failure> {
        match self.table {
            None => writeln!(std::io::stdout(), "\n]").map_err(Failure::Output),
            Some(_) if self.count == 0 => {
                eprintln!("hushbox: no record matches");
                Ok(())
            }
            Some(table) => write!(std::io::stdout(), "{table}").map_err(Failure::Output),
        }
    }
}

fn row(document: &Document) -> Vec<String> {
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
        format!("{}{running}", length(document.duration_ms)),
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

/// `1:02:03` or `2:03`
pub fn length(ms: u64) -> String {
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
    fn lengths_are_for_people() {
        assert_eq!((length(0), length(61_999)), ("0:00".to_owned(), "1:01".to_owned()));
        assert_eq!(length(3_723_000), "1:02:03");
    }

    #[test]
    fn a_day_is_its_first_moment() {
        let day = moment("--from", Some("2026-11-22")).ok().flatten();
        assert_eq!(day, Wall::parse("2026-11-22T00:00:00Z"));
        assert!(moment("--to", Some("yesterday")).is_err());
    }
}
