//! Call feeds with odd details: the box takes a call whatever its feed says about it.
//!
//! A feed is a program that acts on no `err`. Alarms, the log, `stats` and the record name what
//! is altered or refused.

use std::fmt::Write;
use testkit::rng::Rng;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, pair, value};

fn office() -> (SimBox, u32, u32) {
    let site = Site::new().store("seal = false").full_time();
    let site = site.role("agent", "record.start blackout").agent("jdoe", "1001", "agent");
    let site = site.role("boss", "records.all").agent("eve", "", "boss");
    let mut sim = SimBox::new(&site.toml(), 9);
    let (feed, watcher) = (sim.hello("cti user=pbx"), sim.hello("monitor"));
    sim.say(watcher, "watch");
    (sim, feed, watcher)
}

/// A record as a supervisor sees it.
fn show(sim: &mut SimBox, id: &str) -> String {
    let boss = sim.hello("supervisor user=eve");
    let said = sim.say(boss, &format!("show {id}")).join("\n");
    sim.gone(boss);
    said
}

fn stat(sim: &mut SimBox, name: &str) -> u64 {
    let monitor = sim.hello("monitor");
    let rows = sim.say(monitor, "stats");
    sim.gone(monitor);
    let row =
        rows.iter().find(|row| row.contains(name)).unwrap_or_else(|| panic!("{name} in {rows:#?}"));
    row.rsplit('=').next().unwrap().parse().unwrap()
}

/// Each of these used to cost the call: `err bad-argument`, no alarm, no log line.
#[test]
fn h4_details_of_sip_fit() {
    let address = "sip:+4930123456789@pbx.example.com";
    let long = |n: usize, c: char| c.to_string().repeat(n);
    let lines = [
        (format!("call=c1 ani=\"{address}\""), "c1".to_owned(), address.to_owned()),
        (
            format!("call={}@10.0.0.1 ani=7", long(57, 'f')),
            format!("{}@10.0.0.1", long(57, 'f')),
            "7".into(),
        ),
        (format!("call={} ani={}", long(256, 'i'), long(128, '4')), long(256, 'i'), long(128, '4')),
    ];
    for (details, call, ani) in lines {
        let (mut sim, feed, watcher) = office();
        let said = sim.say(feed, &format!("call start device=1001 {details}"));
        assert_eq!(pair(&said, "call"), call);
        assert!(!answer(&said).contains("altered="), "{said:?}");
        let shown = show(&mut sim, &pair(&said, "recording"));
        assert!(shown.contains(&call) && shown.contains(&ani), "{shown}");
        assert!(
            answer(&sim.say(feed, &format!("call stop device=1001 call={call}"))).starts_with("ok")
        );
        assert_eq!(sim.alarms(watcher), [] as [i32; 0]);
    }
}

/// Lines whose details are wrong, and which details the reply names.
fn odd_lines() -> Vec<(String, &'static str)> {
    let long = |n: usize| "4".repeat(n);
    vec![
        (format!("ani={}", long(129)), "ani"),
        (format!("ani={} dnis={}", long(200), long(200)), "ani,dnis"),
        (format!("group=\"{}\"", "ü".repeat(100)), "group"),
        ("direction=sideways".into(), "direction"),
        ("direction=IN".into(), "direction"),
        ("direction=".into(), ""),
        ("ani=1 ani=2".into(), "ani"),
        ("colour=red".into(), "colour"),
        ("colour=red size=\"very large\" ani=5".into(), "colour,size"),
        ("ani=+49 30 123456".into(), "ani"),
        ("group=first level gate=g1".into(), "group"),
        ("group=Köln".into(), "group"),
        ("ani=<sip:jane@pbx;user=phone>".into(), "ani"),
        ("ani=\"Jane".into(), "ani"),
        ("ani=\"a\"b".into(), "ani"),
        ("ani=\"tab\there\"".into(), "ani"),
        ("ani=\"back\\slash\"".into(), "ani"),
        ("of= agent=".into(), ""),
        ("of=- agent=-".into(), ""),
        (format!("of={}", long(300)), "of"),
        (format!("agent={}", long(33)), "agent"),
        ("agent=nobody".into(), ""),
        ("\"just text\"".into(), "word"),
        ("=".into(), "word"),
        (format!("gate={}", long(2000)), "line,gate"),
        (format!("group=sales note={}", long(2000)), "line"),
        ((0..60).map(|n| format!("k{n}=v ")).collect(), "k0,k1"),
    ]
}

#[test]
fn h4_odd_detail_never_costs_the_call() {
    for (number, (details, altered)) in odd_lines().into_iter().enumerate() {
        let (mut sim, feed, watcher) = office();
        let said = sim.say(feed, &format!("call start device=1001 call=c{number} {details}"));
        let reply = answer(&said);
        assert!(reply.starts_with(&format!("ok call=c{number} ")), "{details}: {said:?}");
        let id = pair(&said, "recording");
        assert_ne!(id, "-", "{details}: recorded by the schedule");
        let alarms = sim.alarms(watcher);
        if altered.is_empty() {
            assert!(
                !reply.contains("altered=") && alarms.is_empty(),
                "{details}: {reply} {alarms:?}"
            );
        } else {
            assert!(
                reply.contains(&format!("altered={altered}"))
                    || reply.contains(&format!("altered=\"{altered}")),
                "{details}: {reply}"
            );
            assert_eq!(alarms, [204], "{details}");
            let shown = show(&mut sim, &id);
            assert!(shown.contains("from the feed: "), "{details}: {shown}");
            assert_eq!(stat(&mut sim, "hushbox_feed_altered_total{feed=\\\"pbx\\\"}"), 1);
        }
        let stop = format!("call stop device=1001 call=c{number} cause=16 {details}");
        let said = sim.say(feed, &stop);
        assert!(answer(&said).starts_with(&format!("ok call=c{number} ")), "{stop}: {said:?}");
        sim.run_ms(200);
        sim.assert_clean();
    }
}

#[test]
fn h4_text_that_is_not_utf8_is_read_as_latin1() {
    let (mut sim, feed, watcher) = office();
    sim.send(feed, b"call start device=1001 call=c1 group=\"K\xf6ln\" ani=123\n");
    let said = sim.news(feed);
    let shown = show(&mut sim, &pair(&said, "recording"));
    assert!(shown.contains("group=\"Köln\"") && shown.contains("ani=123"), "{shown}");
    assert_eq!(sim.alarms(watcher), [204]);
    // Ids that differ in such a byte only are two calls.
    for call in [b"\xe4", b"\xe5"] {
        sim.send(feed, &[b"call start device=1002 of=c1 call=", &call[..], b"\n"].concat());
    }
    assert!(!sim.news(feed).join("\n").contains("err "));
    assert_eq!(sim.say(feed, "calls").len(), 4, "three calls and the ok");
    sim.send(feed, b"call stop device=1002 call=\xe4\n");
    assert_eq!(sim.say(feed, "calls").iter().filter(|row| row.starts_with("row")).count(), 2);
}

/// Long ids that differ at their end only are two calls, and each has its own stop.
#[test]
fn h4_long_call_ids_stay_different() {
    let (mut sim, feed, _) = office();
    let id = |end: &str| format!("{}{end}", "x".repeat(300));
    let said = sim.say(feed, &format!("call start device=1001 call={}", id("a")));
    let shortened = pair(&said, "call");
    assert!(shortened.len() <= 260 && shortened.contains('…'), "{shortened}");
    sim.say(feed, &format!("call start device=1002 call={} of={}", id("b"), id("a")));
    let rows = sim.say(feed, "calls");
    let calls: Vec<String> =
        rows.iter().filter(|row| row.starts_with("row")).map(|row| value(row, "call")).collect();
    assert!(calls.len() == 2 && calls[0] != calls[1], "{calls:?}");
    for verb in ["call hold", "call resume", "call update", "call stop"] {
        let said = sim.say(feed, &format!("{verb} device=1001 call={}", id("a")));
        assert!(answer(&said).starts_with("ok"), "{verb}: {said:?}");
    }
    let rows = sim.say(feed, "calls").join("\n");
    assert!(rows.contains("device=1002") && !rows.contains("device=1001"), "{rows}");
}

#[test]
fn h4_update_with_odd_details_is_told_in_the_record() {
    let (mut sim, feed, _) = office();
    let id = pair(&sim.say(feed, "call start device=1001 call=c1"), "recording");
    let line = format!("call update device=1001 call=c1 ani={} direction=up", "4".repeat(150));
    let said = sim.say(feed, &line);
    assert_eq!(value(answer(&said), "altered"), "ani,direction");
    let told = "from the feed: ani shortened, direction left out";
    assert!(show(&mut sim, &id).contains(told));
    sim.say(feed, &line);
    assert_eq!(show(&mut sim, &id).matches("direction left out").count(), 1, "told once");
    sim.restart(false);
    assert!(show(&mut sim, &id).contains(told), "and kept");
}

#[test]
fn h4_refused_line_of_a_feed_is_counted_and_raises_an_alarm() {
    let lines = [
        "call start call=c1",
        "call start device=1001",
        "call start device=1001 call=",
        "call begin device=1001 call=c1",
        "shutdown",
    ];
    for line in lines {
        let (mut sim, feed, watcher) = office();
        let said = sim.say(feed, line);
        let code = answer(&said).split(' ').nth(1).unwrap().to_owned();
        assert!(answer(&said).starts_with("err "), "{line}: {said:?}");
        assert_eq!(sim.alarms(watcher), [205], "{line}");
        let name = format!("hushbox_feed_refused_total{{feed=\\\"pbx\\\",code=\\\"{code}\\\"}}");
        assert_eq!(stat(&mut sim, &name), 1, "{line}");
    }
    // A good line that came at the wrong time is counted, and is no alarm.
    let (mut sim, feed, watcher) = office();
    sim.say(feed, "call stop device=1001 call=c9");
    assert_eq!(stat(&mut sim, "code=\\\"no-such-call\\\""), 1);
    assert_eq!(sim.alarms(watcher), [] as [i32; 0]);
    // A device that is longer than any name has no channel, and that is told.
    let said = sim.say(feed, &format!("call start device={} call=c1", "9".repeat(40)));
    assert!(answer(&said).starts_with("err no-channel"), "{said:?}");
    assert_eq!(sim.alarms(watcher), [201]);
}

#[test]
fn g4_feed_masks_although_it_says_too_much() {
    let (mut sim, feed, _) = office();
    sim.say(feed, "call start device=1001 call=c1");
    let said = sim.say(feed, "blackout start agent=jdoe reason=\"card data\" lead_ms=soon");
    assert!(answer(&said).contains("blackout=on"), "{said:?}");
    let said = sim.say(feed, "blackout stop agent=jdoe reason=done");
    assert!(answer(&said).contains("blackout=off"), "{said:?}");
}

/// Other kinds of client read their replies, and are told what is wrong.
#[test]
fn h4_other_clients_are_still_refused() {
    let (mut sim, _, _) = office();
    let agent = sim.hello("agent user=jdoe");
    let said = sim.say(agent, "blackout start lead_ms=soon");
    assert!(answer(&said).starts_with("err bad-argument"), "{said:?}");
    let said = sim.say(agent, &"x".repeat(2000));
    assert!(answer(&said).starts_with("err too-long"), "{said:?}");
}

/// Random bytes in the details, from many seeds: the call is taken, ends, and the store is clean.
#[test]
fn h4_random_details_never_cost_a_call() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300);
    for seed in 0..seeds {
        let mut rng = Rng::new(seed);
        let (mut sim, feed, _) = office();
        let mut details = Vec::new();
        for _ in 0..rng.below(8) {
            let key = *rng.pick(&["ani", "dnis", "group", "gate", "direction", "of", "agent", "x"]);
            details.extend_from_slice(key.as_bytes());
            details.push(*rng.pick(b"= \""));
            let length = *rng.pick(&[0, 3, 40, 130, 300, 900]);
            details.extend((0..length).map(|_| match *rng.pick(b"ab1 \"\\=;<\xfc\t") {
                b'\n' => b'?',
                byte => byte,
            }));
            details.push(b' ');
        }
        let line = [b"call start device=1001 call=c1 ", details.as_slice(), b"\n"].concat();
        sim.send(feed, &line);
        let said = sim.news(feed);
        let mut shown = String::new();
        write!(shown, "seed {seed}: {} -> {said:?}", String::from_utf8_lossy(&line)).unwrap();
        assert!(answer(&said).starts_with("ok call=c1 "), "{shown}");
        assert_ne!(pair(&said, "recording"), "-", "{shown}");
        let row = show(&mut sim, &pair(&said, "recording"));
        assert!(row.lines().all(|line| line.len() < 1024) && row.contains(" rate=8000 "), "{row}");
        assert!(answer(&sim.say(feed, "call stop device=1001 call=c1")).starts_with("ok"));
        sim.run_ms(100);
        sim.assert_clean();
    }
}
