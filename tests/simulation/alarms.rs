//! Event alarms: active until a technician clears them, also over restarts.

use hushbox::store::fact::Fact;
use hushbox::store::journal::{JournalItem, JournalReader};
use hushbox::store::layout;
use protocol::Kind;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, value};

const TECHNICIAN: &str = "
[[technician]]
name = \"field\"
pin = \"$argon2id$v=19$m=19456,t=2,p=1$\
BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"
";

fn technician(sim: &mut SimBox) -> u32 {
    let client = sim.client(&[Kind::Technician]);
    let said = sim.say(client, "hello technician user=field pin=2468");
    assert!(answer(&said).starts_with("ok "), "{said:?}");
    client
}

/// Number, start and text of every active alarm.
fn active(sim: &mut SimBox) -> Vec<(String, String, String)> {
    let technician = technician(sim);
    let rows = sim.say(technician, "alarms");
    let is_active = |row: &&String| row.starts_with("row ") && value(row, "state") == "active";
    let rows = rows.iter().filter(is_active);
    let text = |row: &String| row.split_once(" text=").unwrap().1.to_owned();
    rows.map(|row| (value(row, "alarm"), value(row, "since"), text(row))).collect()
}

fn call_without_channel(sim: &mut SimBox, device: &str) {
    let feed = sim.hello("cti");
    let said = sim.say(feed, &format!("call start device={device} call=c1"));
    assert!(answer(&said).starts_with("err no-channel"), "{said:?}");
    sim.gone(feed);
    sim.run_ms(1000);
}

/// Facts about alarms in the journal.
fn facts(sim: &SimBox) -> usize {
    let mut count = 0;
    for (path, bytes) in &sim.disk.live {
        if layout::parse_journal_day(path).is_none() {
            continue;
        }
        let mut reader = JournalReader::open(bytes.as_slice()).unwrap();
        while let Some(item) = reader.next_item().unwrap() {
            let JournalItem::Entry { entry, .. } = item else { continue };
            count += usize::from(matches!(entry.fact, Fact::AlarmRaised { .. }));
        }
    }
    count
}

#[test]
fn h4_event_alarms_outlive_restarts_until_a_technician_clears_them() {
    let mut sim = SimBox::new(&Site::new().more(TECHNICIAN).toml(), 3);
    call_without_channel(&mut sim, "4711");
    call_without_channel(&mut sim, "4712");
    let before: Vec<_> =
        active(&mut sim).into_iter().filter(|(number, ..)| number == "201").collect();
    assert_eq!(before.len(), 2);
    // A power cut, a stop, and days that are closed meanwhile.
    for (cut, days) in [(true, 0), (false, 0), (false, 3)] {
        sim.pass_ms(days * 86_400_000);
        sim.run_ms(1000);
        sim.restart(cut);
        sim.run_ms(1000);
        assert_eq!(active(&mut sim), before, "cut: {cut}");
    }
    // It is counted again, not noted again.
    call_without_channel(&mut sim, "4711");
    assert_eq!(facts(&sim), 2);
    let technician = technician(&mut sim);
    assert_eq!(answer(&sim.say(technician, "alarm clear 201")), "ok");
    sim.restart(true);
    sim.run_ms(1000);
    assert_eq!(active(&mut sim), [], "cleared for good, once the ok has left");
    sim.assert_clean();
}

#[test]
fn h4_noted_alarms_are_bounded() {
    let mut sim = SimBox::new(&Site::new().more(TECHNICIAN).toml(), 3);
    for device in 2000..2200 {
        call_without_channel(&mut sim, &device.to_string());
    }
    let noted = facts(&sim);
    assert!((32..=128).contains(&noted), "{noted} facts");
    sim.restart(false);
    assert_eq!(active(&mut sim).len(), noted);
}

#[test]
fn h4_state_alarms_end_with_the_run() {
    let config = Site::new().store("seal = false").more(TECHNICIAN).toml();
    let mut sim = SimBox::new(&config, 3);
    sim.run_ms(1000);
    assert_eq!(active(&mut sim)[0].0, "403");
    sim.restart(false);
    assert_eq!(active(&mut sim).len(), 1);
    assert_eq!(facts(&sim), 0);
}
