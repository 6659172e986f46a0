//! The store compared with SQLite in one run on one disk: size, startup, a day's listing, and
//! durable commands per second.
//!
//! A year of calls (`HUSHBOX_BENCH_RECORDS`, default one million) is written by the store's own
//! writer and by SQLite in WAL mode with `synchronous=FULL`. A new box summarises it at its first
//! start. There are no pass or fail limits.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod folder;
mod sqlite;
mod year;

use folder::Folder;
use hushbox::shell::os::clock::Clock;
use hushbox::store::archive::{RecordRow, SummaryReader};
use hushbox::store::day::Day;
use hushbox::store::index::RecordFilter;
use hushbox::time::WallTime;
use rusqlite::Connection;
use sqlite::Evidence;
use std::path::{Path, PathBuf};
use std::sync::{Barrier, Mutex};
use testkit::daemon::Daemon;
use testkit::daemon::client::Client;
use testkit::load::numbers::{Series, head, row};
use testkit::load::plan::{LoadPlan, RATE, device};
use testkit::load::{ask_until_ok, await_all};
use year::{DAYS, Year};

const PLAN: LoadPlan = LoadPlan { channels: 64, codec: "opus", sides: 1 };
const STARTS: usize = 9;
const LISTINGS: usize = 50;
const CLIENTS: [usize; 3] = [1, 16, 64];
const COMMANDS_US: u64 = 3_000_000;
/// Days of calls whose size is also compared with a hash chain.
const CHAINED_DAYS: u32 = 18;
const DAY_MS: i64 = 86_400_000;

fn main() {
    let wanted = std::env::var("HUSHBOX_BENCH_RECORDS").ok().and_then(|count| count.parse().ok());
    let calls = wanted.unwrap_or(1_000_000);
    let today = u32::try_from(Clock::start().now().wall.0 / DAY_MS).expect("a day");
    let year = Year { calls, last: Day(today - 1) };
    println!("the store, {calls} records of {DAYS} days; SQLite: WAL, synchronous=FULL, indexes");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let database = folder.path().join("lite.db");
    let mut boxes = [0; 3].map(|_| Daemon::new_in(folder.path(), PLAN.site()));
    let journals = year.write_journals(&boxes[2].data(), 0..DAYS);
    Year { last: Day(today), ..year }.write_journals(&boxes[1].data(), DAYS - 1..DAYS);
    starts(&mut boxes);
    let [mut empty, _, store] = boxes;
    let store = store.data();
    bytes(year, (&store, journals), &database);
    first_query(&store, &database);
    listings(year, &store, &database);
    commands(&mut empty, &folder.path().join("commands.db"));
}

fn starts(boxes: &mut [Daemon; 3]) {
    // The first start makes keys and, if there is history, summaries.
    let mut first = 0.0;
    for daemon in boxes.iter_mut() {
        daemon.start();
        first = daemon.ready_in.as_secs_f64() * 1000.0;
        daemon.stop();
    }
    let (mut ready, mut memory): ([Series; 3], [Series; 3]) = Default::default();
    for _ in 0..STARTS {
        for (n, daemon) in boxes.iter_mut().enumerate() {
            daemon.start();
            ready[n].push(daemon.ready_in.as_secs_f64() * 1000.0);
            let mut feed = daemon.client("hello cti");
            await_all(&mut feed, RATE);
            memory[n].push(daemon.memory_mb("VmRSS"));
            daemon.stop();
        }
    }
    let names = ["empty store", "one day, which is today", "all days, the last yesterday"];
    let show = |all: &[Series; 3]| names.iter().zip(all).for_each(|(name, of)| row(name, of));
    head("from process start to `ready`, ms", &["median", "min", "max"]);
    show(&ready);
    println!("{:<44}{first:>10.0}", "once: the start that makes all summaries");
    head("memory that is resident, MB", &["median", "min", "max"]);
    show(&memory);
}

fn folder_bytes(folder: &Path, end: &str) -> u64 {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file"));
    let files = files.filter(|file| file.file_name().to_string_lossy().ends_with(end));
    files.map(|file| file.metadata().expect("a size").len()).sum()
}

fn bytes(year: Year, (store, journals): (&Path, u64), database: &Path) {
    let each = |bytes: u64, calls: u64| bytes as f64 / calls.max(1) as f64;
    let summaries = folder_bytes(&store.join("journal"), ".hbs");
    let lean = sqlite::fill(database, year, 0..DAYS, Evidence::Nothing);
    let few = year.calls * u64::from(CHAINED_DAYS) / u64::from(DAYS);
    let proved = database.with_extension("proved");
    let proved = sqlite::fill(&proved, year, 0..CHAINED_DAYS, Evidence::Chained);
    let ours = each(journals + summaries, year.calls);
    head("bytes a record, digests included", &["bytes", "ratio"]);
    println!("{:<44}{ours:>10.0}", "journal with its chain, and summaries");
    println!("{:<44}{:>10.0}", "  of these the summaries", each(summaries, year.calls));
    let others =
        [("SQLite, no chain", each(lean, year.calls)), ("SQLite, chained", each(proved, few))];
    for (name, bytes) in others {
        println!("{name:<44}{bytes:>10.0}{:>10.2}", ours / bytes);
    }
}

fn timed<T>(series: &mut Series, work: impl FnOnce() -> T) -> T {
    let clock = Clock::start();
    let result = work();
    series.push(clock.now().mono.0 as f64);
    result
}

fn shelf(store: &Path) -> SummaryReader<Folder> {
    SummaryReader::open(Folder(store.to_path_buf())).expect("a store")
}

/// Times the first query on the files, without a daemon.
fn first_query(store: &Path, database: &Path) {
    let (mut ours, mut theirs) = (Series::default(), Series::default());
    for _ in 0..STARTS {
        let open = timed(&mut ours, || shelf(store));
        assert_eq!(open.index().running_records().count(), 0);
        timed(&mut theirs, || sqlite::wake(database));
    }
    head("opened, and known what goes on, µs", &["median", "min", "max"]);
    row("the last summary and today's journal", &ours);
    row("SQLite", &theirs);
}

fn listings(year: Year, store: &Path, database: &Path) {
    let (shelf, db) = (shelf(store), sqlite::open(database));
    let (mut ours, mut theirs, mut rows) = (Series::default(), Series::default(), 0);
    for n in 0..LISTINGS {
        let day = year.day(u32::try_from(n * 7 + 3).expect("small")).0;
        let at = |day: u32| WallTime(i64::from(day) * DAY_MS);
        let (from, until) = (at(day), at(day + 1));
        let filter =
            RecordFilter { from: Some(from), until: Some(until), ..RecordFilter::default() };
        let list =
            || shelf.scan_rows(filter).collect::<Result<Vec<RecordRow>, _>>().expect("whole");
        let a = timed(&mut ours, list);
        let b = timed(&mut theirs, || sqlite::list(&db, from, until));
        let same = a.iter().zip(&b).all(|(a, b)| a.id.as_bytes()[..] == b.id[..]);
        assert!(same && a.len() == b.len(), "the same records in the same order");
        rows = a.len();
    }
    head(&format!("a day's listing, {rows} rows, µs"), &["median", "min", "max"]);
    row("summaries", &ours);
    row("SQLite with its index", &theirs);
    println!("{:<44}{:>10.2}", "ratio", ours.percentile(50) / theirs.percentile(50));
}

fn commands(daemon: &mut Daemon, database: &Path) {
    head("durable commands a second", &["box", "SQLite", "in turns", "ratio"]);
    for clients in CLIENTS {
        let ours = box_commands(daemon, clients);
        let [theirs, shared] = sqlite_commands(database, clients);
        let ratio = ours / theirs.max(shared);
        let name = format!("{clients} clients");
        println!("{name:<44}{ours:>10.0}{theirs:>10.0}{shared:>10.0}{ratio:>10.2}");
    }
}

/// Runs all workers concurrently for a while; returns their combined `work` calls per second.
fn together<W: FnMut(usize) + Send>(workers: Vec<W>) -> f64 {
    let (gate, clock) = (Barrier::new(workers.len()), Clock::start());
    let count = |mut work: W, gate: &Barrier| {
        gate.wait();
        let (from, mut done) = (clock.now().mono.0, 0);
        while clock.now().mono.0 < from + COMMANDS_US {
            work(done);
            done += 1;
        }
        done as f64 / ((clock.now().mono.0 - from) as f64 / 1e6)
    };
    std::thread::scope(|scope| {
        let gate = &gate;
        let spawn = |work| scope.spawn(move || count(work, gate));
        let threads: Vec<_> = workers.into_iter().map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
    })
}

fn box_commands(daemon: &mut Daemon, clients: usize) -> f64 {
    daemon.start();
    let mut feed = daemon.client("hello cti");
    let mut agents: Vec<Client> = Vec::new();
    for n in 0..clients {
        let device = device(u16::try_from(n).expect("a channel"));
        let mut agent = daemon.client(&format!("hello agent user=u{device}"));
        ask_until_ok(&mut feed, &format!("call start device={device} call=c{device}"));
        ask_until_ok(&mut agent, "record start");
        agents.push(agent);
    }
    let work = |mut agent: Client| {
        move |n: usize| {
            agent.ok(&format!("update 1 \"Jane Roe, about bill {n}\""));
        }
    };
    let rate = together(agents.into_iter().map(work).collect());
    daemon.stop();
    rate
}

/// Runs with one connection per client, and with one shared connection, which suits SQLite
/// better.
fn sqlite_commands(database: &Path, clients: usize) -> [f64; 2] {
    if !PathBuf::from(database).exists() {
        let today = Year { calls: 64 * u64::from(DAYS), last: Day(20_000) };
        sqlite::fill(database, today, 0..1, Evidence::Nothing);
    }
    let value = [5; 60];
    let record = |who: usize| i64::try_from(who).expect("small") + 1;
    let at = |n: usize| i64::try_from(n).expect("small");
    let own = |who: usize| {
        let mut db = sqlite::open(database);
        move |n: usize| sqlite::update(&mut db, record(who), at(n), &value)
    };
    let each = together((0..clients).map(own).collect());
    let shared: Mutex<Connection> = Mutex::new(sqlite::open(database));
    let turn = |who: usize| {
        let shared = &shared;
        move |n: usize| {
            let mut db = shared.lock().expect("no thread fails");
            sqlite::update(&mut db, record(who), at(n), &value);
        }
    };
    [each, together((0..clients).map(turn).collect())]
}
