//! A supervisor's pages over ten thousand recordings, and over one of eight hours.
//!
//! The real box runs on a store of a hundred days with the real portal, and one supervisor
//! without a browser. Measured are list pages at every position and with every filter, the time
//! to open the long recording, and the time to seek near its end. The only check is that the
//! pages show every recording exactly once. `PAGES_STAY=1` keeps both programs running until
//! stdin ends, for inspection with a browser.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, reason = "real time is what is measured")]

use hushbox::store::day::Day;
use std::collections::BTreeSet;
use std::io::Read;
use std::time::{Duration, Instant, SystemTime};
use testkit::load::library::{Library, LibraryPlan, ani};
use testkit::load::supervisor::{
    Answer, PASSWORD, PortalStack, PortalUser, between, listed, older, wav,
};

const PLAN: LibraryPlan = LibraryPlan { days: 100, a_day: 100, long_s: 8 * 3600 };

fn print_row(what: &str, answer: &Answer) {
    let rows = answer.text().matches("<tr><th scope=\"row\">").count();
    println!("{what:<52} {:>9.1} ms {rows:>4} rows", ms(answer.took));
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Pages from first to last with *Older*.
fn leaf_through(user: &PortalUser) {
    let (mut path, mut seen, mut times) = ("/records".to_owned(), BTreeSet::new(), Vec::new());
    loop {
        let page = user.get(&path);
        let text = page.text();
        seen.extend(listed(&text));
        times.push(page.took);
        match times.len() {
            1 => print_row("the newest", &page),
            50 => print_row("page 50", &page),
            _ => {}
        }
        let Some(next) = older(&text) else {
            print_row(&format!("the last page, which is number {}", times.len()), &page);
            break;
        };
        path = next;
    }
    assert_eq!(seen.len(), usize::try_from(PLAN.count()).unwrap(), "each is on a page");
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{:<52} {:>9.1} ms, worst {:.1} ms", "a page, median", ms(median), ms(worst));
}

fn search(user: &PortalUser, today: Day) {
    let oldest = Day(today.0 - PLAN.days);
    let plus = |number: String| number.replace('+', "%2B");
    for (what, question) in [
        ("by agent", "agent=u1007".to_owned()),
        ("by device and direction of time", format!("device=1007&to={oldest}T12:00")),
        ("by a day", format!("from={oldest}T00:00&to={}T00:00", Day(oldest.0 + 1))),
        ("by call, the oldest", "call=c0".to_owned()),
        ("by the newest's number", format!("ani={}", plus(ani(PLAN.count() - 2)))),
        ("by the oldest's number", format!("ani={}", plus(ani(0)))),
        ("by a number of no call", "ani=999".to_owned()),
        ("by text in a field of the newest", format!("field=customer+{}", PLAN.count() - 2)),
        ("by text that no field has (200 looked into)", "field=absent".to_owned()),
        ("by an agent that is not there", "agent=absent".to_owned()),
    ] {
        print_row(what, &user.get(&format!("/records?{question}")));
    }
}

/// Peak resident memory in MB.
fn peak_mb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Shared memory of the whole machine in MB.
fn shared_mb() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with("Shmem:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn eight_hours(user: &PortalUser, id: &str, portal: u32) {
    print_row("the long record's page, closed", &user.get(&format!("/records/{id}")));
    let before = shared_mb();
    print_row("the same, opened", &user.get(&format!("/records/{id}?listen=yes")));
    print_row("its picture", &user.get(&format!("/records/{id}/wave")));
    print_row("the same once more", &user.get(&format!("/records/{id}?listen=yes")));
    let path = format!("/records/{id}/sound");
    let all = user.ask(&format!("GET {path}"), "Range: bytes=0-0\r\n", "");
    let size: u64 = between(&all.head, "content-range: bytes 0-0/", "\r").unwrap().parse().unwrap();
    let at = size / 28_800 * 28_740;
    let piece = user.ask(&format!("GET {path}"), &format!("Range: bytes={at}-\r\n"), "");
    let kb = piece.body.len() / 1024;
    println!("{:<52} {:>9.1} ms, {kb} kB", "its sound from 7:59:00 on", ms(piece.took));
    let kept = shared_mb().saturating_sub(before);
    println!("kept of it: {kept} MB of {} MB that are played", size >> 20);
    println!("the portal's peak: {} MB", peak_mb(portal));
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let today = Day(u32::try_from(now.as_secs() / 86_400).unwrap());
    let began = Instant::now();
    let long = Library::new(PLAN, &at.join("data"), &wav()).write(today);
    println!("{} recordings written in {:.1} s", PLAN.count(), began.elapsed().as_secs_f64());
    let stack = PortalStack::start(at);
    println!("the box is ready after {:.1} s", stack.box_took.as_secs_f64());
    let user = stack.supervisor();
    leaf_through(&user);
    search(&user, today);
    eight_hours(&user, &long, stack.portal.0.id());
    if std::env::var_os("PAGES_STAY").is_some() {
        println!("{} boss {PASSWORD:?} {long} {}", stack.ready, at.display());
        drop(std::io::stdin().read(&mut [0]));
    }
}
