//! Reloads: what takes effect at once, what waits for a restart, and which sessions end.
//!
//! A reload must never claim that a key is in force when it is not, and a session that could not
//! say hello any more must not stay open. Whatever a reload removes, no blackout ends with it.

use hushbox::config::CodecKind;
use hushbox::recorder::{Input, Peer};
use protocol::Kind;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, pair};

const PIN_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$BtIvqaj9XY7ZBxJ22c5iVw$\
                        TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU";
const NEW_PIN_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                            TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU";

fn technician(name: &str, hash: &str) -> String {
    format!("[[technician]]\nname = \"{name}\"\npin = \"{hash}\"")
}

/// Roles and technicians, without agents.
fn base() -> Site {
    let site = Site::new().role("agent", "record.start record.stop blackout screen");
    let site = site.role("supervisor", "records.all").audio("holdback_ms = 1000");
    site.more(&technician("field", PIN_HASH)).more("[blackout]\nlead_ms = 500")
}

fn full() -> Site {
    base().agent("jdoe", "1001", "agent").agent("sup", "", "supervisor")
}

fn started(site: &Site) -> SimBox {
    SimBox::new(&site.toml(), 9)
}

/// The reply of a reload by a technician.
fn reload(sim: &mut SimBox, technician: u32, file: String) -> String {
    sim.config_file = Some(file);
    answer(&sim.say(technician, "config reload")).to_owned()
}

fn watcher(sim: &mut SimBox) -> u32 {
    let watcher = sim.hello("monitor");
    sim.say(watcher, "watch");
    watcher
}

#[test]
fn h2_reload_names_the_keys_that_wait_until_file_and_box_agree() {
    let site = full();
    let mut sim = started(&site);
    let field = sim.hello("technician user=field pin=2468");
    let watcher = watcher(&mut sim);
    assert_eq!(
        reload(&mut sim, field, site.toml()),
        "ok applied=- waits=- restart=no",
        "an unchanged file"
    );
    let other = site.toml().replace("holdback_ms = 1000", "holdback_ms = 5000\nwrapup_s = 7");
    let other = other.replace("data = \"data\"", "data = \"other\"");
    let keys = "box.data,audio.holdback_ms";
    let said = reload(&mut sim, field, other.clone());
    let wanted = format!("ok applied=audio.wrapup_s waits={keys} restart=yes keys={keys}");
    assert_eq!(said, wanted);
    assert_eq!(sim.alarms(watcher), [511]);
    let rows = sim.say(field, "alarms").join("\n");
    assert!(rows.contains("box.data, audio.holdback_ms; restart the box"), "{rows}");
    // The check says the same of the file, and the file put back ends the alarm.
    let said = sim.say(field, "config check");
    assert_eq!(answer(&said), format!("ok applied=- waits={keys} restart=yes keys={keys}"));
    assert_eq!(
        reload(&mut sim, field, site.toml()),
        "ok applied=audio.wrapup_s waits=- restart=no"
    );
    assert_eq!(sim.alarms(watcher), [-511]);
    // A restart applies what waited.
    reload(&mut sim, field, other);
    sim.restart(false);
    let data = sim.config.data.to_str().unwrap();
    assert_eq!((data, sim.config.audio.holdback_ms), ("other", 5000));
    let field = sim.hello("technician user=field pin=2468");
    assert_eq!(answer(&sim.say(field, "config reload")), "ok applied=- waits=- restart=no");
}

#[test]
fn h2_new_name_applies_at_once_and_signatures_keep_theirs() {
    let site = full();
    let mut sim = started(&site);
    let field = sim.hello("technician user=field pin=2468");
    let other = site.toml().replace("name = \"box-01\"", "name = \"box-02\"");
    assert_eq!(reload(&mut sim, field, other), "ok applied=box.name waits=- restart=no");
    let about = sim.say(field, "status").join("\n");
    assert!(about.contains("what=box name=box-02 "), "{about}");
    let newcomer = sim.client(&[protocol::Kind::Monitor]);
    let greeting = sim.news(newcomer).join("\n");
    assert!(greeting.contains("box-02"), "{greeting}");
    // What was signed before and after is verified with the name of the first start.
    sim.run_ms(2000);
    sim.assert_clean();
    sim.restart(false);
    sim.assert_clean();
}

#[test]
fn h2_look_back_times_stay_within_the_running_holdback() {
    let site = full();
    let mut sim = started(&site);
    let field = sim.hello("technician user=field pin=2468");
    let longer = site.toml().replace("holdback_ms = 1000", "holdback_ms = 5000\npreroll_ms = 4000");
    let said = reload(&mut sim, field, longer.replace("lead_ms = 500", "lead_ms = 4000"));
    assert_eq!(
        pair(std::slice::from_ref(&said), "waits"),
        "audio.holdback_ms,audio.preroll_ms,blackout.lead_ms"
    );
    assert_eq!(pair(&[said], "applied"), "audio.preroll_ms,blackout.lead_ms", "as far as they fit");
    let (feed, agent) = (sim.hello("cti"), sim.hello("agent user=jdoe"));
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(8000);
    let from: u64 = pair(&sim.say(agent, "record start"), "from").parse().unwrap();
    assert!(from >= 7 * 8000, "the ring holds nothing older, but {from} is promised");
    sim.run_ms(2000);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(8000);
    assert!(sim.verify().is_clean());
}

/// A longer one needs larger rings; a shorter one releases audio earlier, and nothing is lost.
#[test]
fn h2_shorter_holdback_applies_at_once() {
    let site = full();
    let mut sim = started(&site);
    let (feed, agent) = (sim.hello("cti"), sim.hello("agent user=jdoe"));
    sim.say(feed, "call start device=1001 call=c1");
    let id = pair(&sim.say(agent, "record start"), "recording");
    sim.run_ms(3000);
    sim.say(agent, "blackout start lead_ms=1000");
    sim.run_ms(1000);
    sim.say(agent, "blackout stop");
    sim.run_ms(400);
    let field = sim.hello("technician user=field pin=2468");
    let shorter = site.toml().replace("holdback_ms = 1000", "holdback_ms = 400");
    let said = reload(&mut sim, field, shorter.replace("lead_ms = 500", "lead_ms = 300"));
    assert_eq!(said, "ok applied=audio.holdback_ms,blackout.lead_ms waits=- restart=no");
    sim.run_ms(2000);
    let refused = sim.say(agent, "blackout start lead_ms=500");
    assert!(answer(&refused).contains("allowed 0 to 400"), "{refused:?}");
    sim.say(agent, "blackout start");
    sim.run_ms(600);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(2000);
    let stored = sim.stored(&id);
    stored.check(&sim);
    assert_eq!(stored.stretches(), "16000 stored, 16000 masked, 16800 stored, 7200 masked");
    assert!(sim.verify().is_clean());
}

#[test]
fn h2_refused_reload_is_an_alarm_until_a_good_one() {
    let site = full();
    let mut sim = started(&site);
    let watcher = watcher(&mut sim);
    // By signal no session is told.
    sim.reload(Some(site.toml().replace("holdback_ms = 1000", "holdback_ms = 1")));
    assert_eq!(sim.alarms(watcher), [512]);
    let field = sim.hello("technician user=field pin=2468");
    let rows = sim.say(field, "alarms").join("\n");
    assert!(rows.contains("holdback_ms: found 1, allowed"), "{rows}");
    // A check of a bad file raises nothing, and of a good one ends nothing.
    sim.config_file = Some(site.toml());
    sim.say(field, "config check");
    assert_eq!(sim.alarms(watcher), [0_i32; 0]);
    sim.reload(Some(site.toml()));
    assert_eq!(sim.alarms(watcher), [-512]);
}

#[test]
fn f3_new_codec_applies_to_new_recordings_only() {
    let site = full();
    let mut sim = started(&site);
    let (feed, agent) = (sim.hello("cti"), sim.hello("agent user=jdoe"));
    let field = sim.hello("technician user=field pin=2468");
    let mut ids = Vec::new();
    let mut press = |sim: &mut SimBox, call: &str| {
        sim.say(feed, &format!("call start device=1001 call={call}"));
        ids.push(pair(&sim.say(agent, "record start"), "recording"));
        sim.run_ms(2000);
    };
    press(&mut sim, "c1");
    let other = site.codec("ulaw").audio("bitrate = 24000").toml();
    assert_eq!(
        reload(&mut sim, field, other),
        "ok applied=audio.codec,audio.bitrate waits=- restart=no"
    );
    sim.run_ms(2000);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(2000);
    press(&mut sim, "c2");
    sim.say(feed, "call stop device=1001 call=c2");
    sim.run_ms(2000);
    let opus = site_with_codec("opus");
    assert_eq!(pair(&[reload(&mut sim, field, opus)], "waits"), "-");
    press(&mut sim, "c3");
    sim.restart(true);
    let (first, second) = (sim.stored(&ids[0]), sim.stored(&ids[1]));
    assert_eq!((first.header.codec, second.header.codec), (CodecKind::Pcm, CodecKind::Ulaw));
    assert_eq!(sim.stored(&ids[2]).header.codec, CodecKind::Opus);
    first.check(&sim);
    assert_eq!((first.ledger.stored, second.ledger.stored), (4 * 8000, 2 * 8000));
    assert!(sim.verify().is_clean(), "{:?}", sim.verify());
}

fn site_with_codec(codec: &'static str) -> String {
    full().codec(codec).toml()
}

/// Recall was encoded before the reload: the file must say so.
#[test]
fn f3_late_press_after_a_new_codec_keeps_the_codec_of_its_audio() {
    let site = full().audio("recall = \"60m\"");
    let mut sim = started(&site);
    let (feed, agent) = (sim.hello("cti"), sim.hello("agent user=jdoe"));
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(3000);
    sim.reload(Some(site.codec("ulaw").toml()));
    sim.run_ms(1000);
    let id = pair(&sim.say(agent, "record start"), "recording");
    sim.run_ms(1000);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(2000);
    let stored = sim.stored(&id);
    assert_eq!(stored.header.codec, CodecKind::Pcm);
    stored.check(&sim);
    assert_eq!(stored.ledger.stored, 5 * 8000, "the whole call");
}

/// A codec that a running board's rate does not fit waits, although the file is good.
#[test]
fn h2_codec_waits_with_the_board_that_it_needs() {
    let file = |codec: &str, rate: u32| {
        let text = full().toml().replace("rate = 8000", &format!("rate = {rate}"));
        text.replace("codec = \"pcm\"", &format!("codec = \"{codec}\""))
    };
    let mut sim = SimBox::new(&file("pcm", 44_100), 9);
    let field = sim.hello("technician user=field pin=2468");
    let said = reload(&mut sim, field, file("opus", 48_000));
    assert_eq!(said, "ok applied=- waits=audio.codec,board restart=yes keys=audio.codec,board");
}

/// A session, what a reload changes, and the code with which the session ends.
type Dismissal = (&'static str, fn(&Site) -> Site, &'static str);

#[test]
fn h4_session_that_could_not_say_hello_any_more_ends_with_the_reason() {
    let cases: [Dismissal; 9] = [
        ("agent user=jdoe", |site| site.clone(), "unknown-user"),
        ("supervisor user=jdoe", |site| site.clone(), "unknown-user"),
        ("screen user=jdoe", |site| site.clone(), "unknown-user"),
        (
            "agent user=jdoe domain=ACME",
            |site| jdoe(site, "domain = \"EMEA\"\nroles = [\"agent\"]"),
            "unknown-user",
        ),
        (
            "agent user=JDOE machine=WS-1",
            |site| jdoe(site, "workstations = [\"WS-2\"]\nroles = [\"agent\"]"),
            "denied",
        ),
        ("agent user=jdoe", |site| jdoe(site, "roles = [\"supervisor\"]"), "denied"),
        ("supervisor user=jdoe", |site| jdoe(site, "roles = [\"agent\"]"), "denied"),
        ("screen user=jdoe", |site| jdoe(site, "screen = false"), "desktop-disabled"),
        (
            "agent user=jdoe",
            |site| jdoe(site, "roles = [\"agent\"]").agent("JDoe", "", "agent"),
            "duplicate-user",
        ),
    ];
    for (hello, change, code) in cases {
        let before = jdoe(&base(), "roles = [\"agent\", \"supervisor\"]\nscreen = true");
        let mut sim = started(&before);
        let (feed, session) = (sim.hello("cti"), sim.hello(hello));
        let other = sim.hello("monitor");
        sim.news(session);
        sim.reload(Some(change(&base()).toml()));
        sim.run_ms(20);
        let said = sim.news(session);
        let last = said.last().cloned().unwrap_or_default();
        assert!(last.starts_with(&format!("err {code} ")), "{hello}: {said:?}");
        assert!(sim.is_closed(session), "{hello}");
        assert!(!sim.is_closed(feed) && !sim.is_closed(other), "{hello}: others stay");
    }
}

fn jdoe(site: &Site, keys: &str) -> Site {
    let head = "[[agent]]\nusername = \"jdoe\"\nphones = [\"1001\"]\n";
    site.clone().more(&format!("{head}{keys}"))
}

#[test]
fn h4_technician_who_was_removed_or_has_a_new_pin_is_logged_out() {
    let both = full().more(&technician("second", PIN_HASH));
    let mut sim = started(&both);
    let login =
        |sim: &mut SimBox, name: &str| sim.hello(&format!("technician user={name} pin=2468"));
    let (field, second) = (login(&mut sim, "FIELD"), login(&mut sim, "second"));
    reload(&mut sim, field, full().toml());
    assert!(sim.is_closed(second) && !sim.is_closed(field));
    assert!(answer(&sim.news(second)).starts_with("err denied "));
    // The technician whose own name goes is told the reload's result before the reason.
    let again = login(&mut sim, "field");
    let said = {
        sim.config_file = Some(full().toml().replace(PIN_HASH, NEW_PIN_HASH));
        sim.say(field, "config reload")
    };
    assert_eq!(said[0], "ok applied=technician waits=- restart=no");
    assert!(said[1].starts_with("err denied ") && sim.is_closed(field), "{said:?}");
    assert!(sim.is_closed(again));
}

/// What `[local]` takes away ends open sessions too: a feed of a user who is the feed's no more.
#[test]
fn h4_session_whose_kind_is_no_longer_allowed_ends_and_its_calls_go_on() {
    let site = full();
    let mut sim = started(&site);
    let watcher = watcher(&mut sim);
    let (feed, agent) = (sim.hello("cti"), sim.hello("agent user=jdoe"));
    sim.say(feed, "call start device=1001 call=c1");
    let id = pair(&sim.say(agent, "record start"), "recording");
    sim.run_ms(1000);
    let peer = Peer { kinds: vec![Kind::Monitor], from: "127.0.0.1".into(), portal: false };
    sim.input(Input::PeerChanged { session: hushbox::id::SessionId(feed.into()), peer });
    sim.reload(None);
    sim.run_ms(1000);
    assert!(sim.is_closed(feed) && answer(&sim.news(feed)).starts_with("err denied "));
    assert_eq!(sim.alarms(watcher), [202], "the feed is missing now");
    let again = sim.hello("cti");
    sim.say(again, "call stop device=1001 call=c1");
    sim.run_ms(2000);
    assert_eq!(sim.stored(&id).ledger.stored, 2 * 8000);
}

#[test]
fn g5_blackout_of_an_agent_whom_a_reload_removed_stays() {
    let mut sim = started(&full());
    let (feed, agent) = (sim.hello("cti"), sim.hello("agent user=jdoe"));
    sim.say(feed, "call start device=1001 call=c1");
    let id = pair(&sim.say(agent, "record start"), "recording");
    sim.run_ms(2000);
    sim.say(agent, "blackout start lead_ms=0");
    sim.run_ms(1000);
    sim.reload(Some(base().agent("sup", "", "supervisor").toml()));
    sim.run_ms(1000);
    assert!(sim.is_closed(agent));
    assert!(sim.say(feed, "calls").join(" ").contains("blackout=on"));
    sim.run_ms(1000);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(2000);
    assert_eq!(sim.stored(&id).stretches(), "16000 stored, 24000 masked");
}

/// A command whose reply waits for the disk is answered before its session ends.
#[test]
fn h4_commands_before_the_reload_are_answered_first() {
    let mut sim = started(&full());
    let (feed, agent) = (sim.hello("cti"), sim.hello("agent user=jdoe"));
    sim.say(feed, "call start device=1001 call=c1");
    sim.news(agent);
    sim.disk.stuck = true;
    sim.send(agent, b"record start\n");
    sim.reload(Some(base().agent("sup", "", "supervisor").toml()));
    assert!(!sim.is_closed(agent));
    sim.disk.stuck = false;
    sim.run_ms(2000);
    let said = sim.news(agent);
    let replies: Vec<&String> = said.iter().filter(|line| !line.starts_with("state ")).collect();
    assert!(replies[0].starts_with("ok recording="), "{said:?}");
    assert!(replies[1].starts_with("err unknown-user "), "{said:?}");
    assert!(replies.len() == 2 && sim.is_closed(agent));
}
