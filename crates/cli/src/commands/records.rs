//! `hushbox records`: lists recordings, newest first.
//!
//! Phone numbers are shown, and can be used as filters, if an identity opens them. Of each media
//! file only the header with the key is read.

use crate::Outcome;
use crate::cli::RecordsArgs;
use crate::clock::wall_now;
use crate::error::{Error, UnsealError};
use crate::output::escape::print_message;
use crate::output::table::Table;
use crate::site_time;
use crate::store::record_json::RecordJson;
use crate::store::store_dir::{StoreDir, is_id_prefix};
use crate::store::unseal::IdentityKeyring;
use hushbox::config::spelling_hint;
use hushbox::store::index::{Record, RecordFilter, number_matches};
use hushbox::time::ms_of_frames;
use jiff::tz::TimeZone;
use protocol::name::is_same_name;
use protocol::text::format_duration;
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
    let filter = build_filter(&store, args)?;
    require_known_names(&store, args)?;
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut listing = RecordListing::start(args.json, store.config.time_zone.clone())?;
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
        let has_filter = args.ani.is_some() || args.dnis.is_some();
        let is_match = number_matches(args.ani.as_deref(), document.ani.as_deref())
            && number_matches(args.dnis.as_deref(), document.dnis.as_deref());
        if !has_filter || personal.is_ok() && is_match {
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

fn build_filter(store: &StoreDir, args: &RecordsArgs) -> Result<RecordFilter, Error> {
    let (zone, now) = (&store.config.time_zone, wall_now());
    let time = |flag: &'static str, text: &Option<String>| {
        let Some(text) = text else { return Ok(None) };
        let failed = |why| Error::InvalidTime { flag, text: text.clone(), why };
        site_time::parse_time(text, zone, now).map(Some).map_err(failed)
    };
    let mut filter = RecordFilter {
        agent: args.agent.clone(),
        device: args.device.clone(),
        call: args.call.clone(),
        from: time("--from", &args.from)?,
        until: time("--to", &args.to)?,
        ..RecordFilter::default()
    };
    let Some(which) = &args.which else { return Ok(filter) };
    if let Some(day) = site_time::parse_day(which, zone, now) {
        let (from, until) = site_time::day_bounds(day, zone);
        (filter.from, filter.until) = (Some(from), Some(until));
    } else if is_id_prefix(which) {
        filter.id_prefix = Some(which.to_ascii_lowercase());
    } else {
        return Err(Error::InvalidSelection { text: which.clone() });
    }
    Ok(filter)
}

/// Refuses an agent or device that neither the configuration nor any record knows, because an empty
/// list would read as "no recordings".
fn require_known_names(store: &StoreDir, args: &RecordsArgs) -> Result<(), Error> {
    let config = &store.config;
    let agents: Vec<&str> = config.agents.iter().map(|agent| &*agent.username).collect();
    let channels = config.boards.iter().flat_map(|board| &board.channels);
    let phones = config.agents.iter().flat_map(|agent| &agent.phones);
    let devices = channels.map(|channel| &*channel.device).chain(phones.map(|phone| &**phone));
    let devices: Vec<&str> = devices.collect();
    let all = RecordFilter { include_deleted: true, ..RecordFilter::default() };
    for (what, name, known, filter) in [
        ("agent", &args.agent, agents, RecordFilter { agent: args.agent.clone(), ..all.clone() }),
        ("device", &args.device, devices, RecordFilter { device: args.device.clone(), ..all }),
    ] {
        let Some(name) = name else { continue };
        if known.iter().any(|known| is_same_name(known, name)) || store.has_record(filter)? {
            continue;
        }
        let hint = spelling_hint(name, &known);
        return Err(Error::UnknownName { what, name: name.clone(), hint });
    }
    Ok(())
}

/// Scans the durable part of a running recording.
pub fn scan_running_media(
    store: &StoreDir,
    record: &Record,
) -> Option<hushbox::store::media::MediaScan> {
    let file = record.is_running().then(|| store.open_media(record).ok()).flatten()?;
    let scan = hushbox::store::media::scan(file).ok();
    scan.filter(|scan| scan.header.id == record.id())
}

/// Warns that records with sealed numbers were not compared with the filter.
fn warn_sealed_numbers(id: &str, why: &UnsealError) {
    print_message(&format!(
        "hushbox: the phone numbers of some records could not be compared, for example {id}: \
         {why}\nhushbox: pass the private key that opens them with --identity FILE\n"
    ));
}

/// The output: JSON as records arrive, or a table once its columns are known.
struct RecordListing {
    count: usize,
    zone: TimeZone,
    /// The table; `None` for JSON.
    table: Option<Table>,
}

impl RecordListing {
    fn start(json: bool, zone: TimeZone) -> Result<RecordListing, Error> {
        if json {
            write!(std::io::stdout(), "[").map_err(Error::Stdout)?;
        }
        let table = (!json).then(|| Table::new(COLUMNS.map(str::to_owned).to_vec()));
        Ok(RecordListing { count: 0, zone, table })
    }

    fn add_record(&mut self, document: &RecordJson) -> Result<(), Error> {
        match &mut self.table {
            Some(table) => table.push_row(format_row(document, &self.zone)),
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
                print_message("hushbox: no record matches\n");
                Ok(())
            }
            Some(table) => write!(std::io::stdout(), "{table}").map_err(Error::Stdout),
        }
    }
}

fn format_row(document: &RecordJson, zone: &TimeZone) -> Vec<String> {
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let number = |text: &Option<String>| match document.sealed {
        Some(_) => "sealed".to_owned(),
        None => dash(text),
    };
    let running = if document.complete { "" } else { "+" };
    let lost_ms = ms_of_frames(document.ledger.lost, document.audio.rate.max(1));
    vec![
        document.recording.clone(),
        site_time::to_site_text(&document.started, zone),
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
