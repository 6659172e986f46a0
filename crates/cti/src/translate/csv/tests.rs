//! Lines of call logs, with made-up numbers.

use crate::test_feed::{Feed, box_call};
use crate::translate::csv::RowError;

const CONFIG: &str = "[exchange]\nkind = 'csv'\nstdin = true\n[calls]\ndevices = ['1001']\n\
    rename = { jane = '1001' }\n[csv]\nseparator = ';'\n\
    columns = ['-', 'event', 'device', 'call', 'ani', 'dnis', 'direction', 'group', 'agent']\n\
    [csv.events]\nstart = ['ANS']\nupdate = ['INFO']\nhold = ['HLD']\nresume = ['RET']\n\
    stop = ['REL']\n[csv.directions]\nin = ['I']\nout = ['O']\n";

fn faults(feed: &mut Feed) -> Vec<(u64, RowError)> {
    feed.session.take_faulty_rows().into_iter().map(|row| (row.line, row.error)).collect()
}

#[test]
fn each_line_is_an_event_of_its_call() {
    let mut feed = Feed::new(CONFIG);
    for (text, line) in [
        (
            "12:00;ans;1001;77;5551234;800;I;sales;\n",
            "call start device=1001 call=csv-77 ani=5551234 dnis=800 direction=in group=sales",
        ),
        (
            "12:01;INFO;1001;77;;801;;;jdoe\n",
            "call update device=1001 call=csv-77 dnis=801 agent=jdoe",
        ),
        ("12:01;HLD;1001;77\n", "call hold device=1001 call=csv-77"),
        ("12:02;RET;jane;77\n", "call resume device=1001 call=csv-77"),
        ("12:03;REL;1001;77\n", "call stop device=1001 call=csv-77"),
    ] {
        assert_eq!(feed.lines_after(text), [line]);
    }
    assert!(feed.lines_after("12:03;ANS;2001;78;;;;;\n\n").is_empty(), "not a device of the box");
    assert_eq!(faults(&mut feed), []);
}

#[test]
fn faulty_lines_are_named_by_number_and_change_nothing() {
    let mut feed = Feed::new(CONFIG);
    let text = "1;ANS\n2;?;1001;7\n3;ANS;1001\n4;REL;1001;9\n";
    assert!(feed.lines_after(text).is_empty());
    use crate::translate::csv::Column::{Call, Device};
    assert_eq!(
        faults(&mut feed),
        [
            (1, RowError::Missing(Device)),
            (2, RowError::Event),
            (3, RowError::Missing(Call)),
            (4, RowError::NoCall),
        ]
    );
    assert!(RowError::Missing(Device).to_string().contains("column \"device\""));
}

#[test]
fn without_ids_a_device_has_one_call_at_a_time() {
    let text = CONFIG.replace("'call', ", "");
    let mut feed = Feed::new(&text);
    let first = "call start device=1001 call=csv-1001-1700000000 ani=555";
    assert_eq!(feed.lines_after("-;ANS;1001;555\n"), [first]);
    feed.now_s += 60;
    let mut lines = feed.lines_after("-;ANS;1001;556\n");
    lines.sort();
    let second = "call start device=1001 call=csv-1001-1700000060 ani=556";
    assert_eq!(lines, [second, "call stop device=1001 call=csv-1001-1700000000"]);
    assert_eq!(
        feed.lines_after("-;REL;1001\n"),
        ["call stop device=1001 call=csv-1001-1700000060"]
    );
    assert!(feed.lines_after("-;REL;1001\n").is_empty());
    assert_eq!(faults(&mut feed), [(4, RowError::NoCall)]);
}

#[test]
fn calls_of_the_box_are_taken_over_because_a_log_lists_none() {
    let mut feed = Feed::new(CONFIG);
    let calls = [box_call("1001", "csv-77", true), box_call("1001", "ast-1", false)];
    assert!(feed.reconnect_box(&calls).is_empty(), "both stay");
    assert_eq!(feed.lines_after("-;RET;1001;77\n"), ["call resume device=1001 call=csv-77"]);
    assert_eq!(feed.lines_after("-;REL;1001;77\n"), ["call stop device=1001 call=csv-77"]);
}
