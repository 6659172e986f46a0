//! A supervisor removes the seconds that a late blackout left; days and times are of the site.

use super::http::HttpClient;
use super::stack::{Stack, StackOptions, TIMEOUT};
use super::supervisor::wait_for_frames;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use testkit::wait::wait_for;

/// Sends one line as Jane's client, over the unix socket.
fn say_as_jane(stack: &Stack, line: &str) -> String {
    let mut stream = UnixStream::connect(stack.path("hushbox.sock")).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(format!("hello agent user=jdoe\n{line}\nquit\n").as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let replies = lines.filter(|line| line.starts_with("ok ") || line.starts_with("err "));
    replies.last().expect("a reply")
}

/// Records a call of six seconds and more, with a blackout that comes 4 s late.
fn record_late_blackout(stack: &Stack) -> String {
    stack.send_cti("call start device=1001 call=c-77 direction=in");
    let said = say_as_jane(stack, "record start");
    assert!(said.starts_with("ok recording="), "{said}");
    wait_for_frames(stack, 48_000);
    let said = say_as_jane(stack, "blackout start pressed_ms=4000");
    assert!(said.contains("late_ms=3"), "{said}");
    wait_for_frames(stack, 8_000);
    say_as_jane(stack, "blackout stop");
    wait_for_frames(stack, 16_000);
    stack.send_cti("call stop device=1001 call=c-77");
    let records: serde_json::Value =
        serde_json::from_str(&stack.run_tool(&["records", "--json"])).unwrap();
    let id = records[0]["recording"].as_str().expect("a recording").to_owned();
    wait_for("the recording's end", || {
        stack.show_recording(&id)["end"].as_str().map(str::to_owned)
    });
    id
}

fn value_of<'a>(page: &'a str, name: &str) -> &'a str {
    let after = page.split(&format!("name=\"{name}\" value=\"")).nth(1).expect(name);
    after.split('"').next().unwrap()
}

/// Samples of the recording between two milliseconds, as the portal plays it to this client.
fn played(client: &mut HttpClient, id: &str, (from_ms, to_ms): (usize, usize)) -> Vec<i16> {
    let page = client.get(&format!("/records/{id}?listen=yes"));
    assert_eq!(page.status, 200, "{}", page.text());
    let wav = client.get(&format!("/records/{id}/sound")).body;
    let samples: Vec<i16> =
        wav[44..].chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
    samples[from_ms * 8..to_ms * 8].to_vec()
}

#[test]
fn g2_h6_supervisor_removes_late_seconds_and_no_session_plays_them_again() {
    let stack = Stack::new(&StackOptions { audio: "wrapup_s = 1", ..StackOptions::default() });
    let id = record_late_blackout(&stack);
    let mut boss = HttpClient::logged_in(&stack, "boss");
    let mut other = HttpClient::logged_in(&stack, "boss");
    let address = format!("/records/{id}");
    let page = boss.get(&address).text();
    assert!(page.contains("Remove these seconds") && page.contains("came too late"), "{page}");
    let (from_ms, to_ms) = (value_of(&page, "from_ms"), value_of(&page, "to_ms"));
    let range = (from_ms.parse::<usize>().unwrap(), to_ms.parse::<usize>().unwrap());
    assert!(range.1 - range.0 >= 3000, "{range:?}");
    for client in [&mut boss, &mut other] {
        assert!(played(client, &id, range).iter().any(|sample| *sample != 0));
    }
    let csrf = boss.get(&address).csrf_token();
    let fields = [
        ("csrf", &*csrf),
        ("from_ms", from_ms),
        ("to_ms", to_ms),
        ("reason", "card data"),
        ("confirm", "yes"),
    ];
    let refused = boss.post(&format!("{address}/redact"), &fields[..4]);
    assert_eq!(refused.status, 400, "without the confirmation");
    let answer = wait_for("the wrap-up's end", || {
        let answer = boss.post(&format!("{address}/redact"), &fields);
        (answer.status == 303).then_some(answer)
    });
    assert_eq!(answer.header("location"), Some(&*address));
    let page = boss.get(&address).text();
    assert!(!page.contains("Remove these seconds"), "{page}");
    assert!(page.contains("was removed for good: card data"), "{page}");
    for client in [&mut boss, &mut other] {
        assert!(played(client, &id, range).iter().all(|sample| *sample == 0));
    }
    let record = stack.show_recording(&id);
    assert_eq!(record["removed"][0]["by"], "boss", "{record}");
    assert!(record.get("unmasked").is_none(), "{record}");
    stack.run_tool(&["verify"]);
}

#[test]
fn e1_portal_shows_and_filters_days_and_times_of_the_site() {
    let site = "time_zone = \"Asia/Tokyo\"";
    let stack = Stack::new(&StackOptions { site, ..StackOptions::default() });
    stack.send_cti("call start device=1001 call=c-77 direction=in");
    let said = say_as_jane(&stack, "record start");
    assert!(said.starts_with("ok recording="), "{said}");
    wait_for_frames(&stack, 8_000);
    stack.send_cti("call stop device=1001 call=c-77");
    let records: serde_json::Value =
        serde_json::from_str(&stack.run_tool(&["records", "--json"])).unwrap();
    let id = records[0]["recording"].as_str().expect("a recording").to_owned();
    let started: jiff::Timestamp = records[0]["started"].as_str().unwrap().parse().unwrap();
    // Japan has no summer time.
    let local = |seconds: i64, form: &str| {
        let at = started.as_second() + 9 * 3600 + seconds;
        jiff::Timestamp::from_second(at).unwrap().strftime(form).to_string()
    };
    let mut boss = HttpClient::logged_in(&stack, "boss");
    let page = boss.get("/records").text();
    assert!(page.contains("Began (Asia/Tokyo)"), "{page}");
    assert!(page.contains(&local(0, "%Y-%m-%d %H:%M:%S")), "{page}");
    let mut finds = |query: &str| boss.get(&format!("/records?{query}")).text().contains(&*id);
    let (before, after) = (local(-120, "%Y-%m-%dT%H:%M"), local(120, "%Y-%m-%dT%H:%M"));
    assert!(finds(&format!("from={before}&to={after}")));
    assert!(!finds(&format!("to={before}")) && !finds(&format!("from={after}")));
    let (day, next) = (local(0, "%Y-%m-%d"), local(86_400, "%Y-%m-%d"));
    assert!(finds(&format!("from={day}&to={next}")) && !finds(&format!("to={day}")));
    let page = boss.get(&format!("/records/{id}")).text();
    assert!(page.contains("History (Asia/Tokyo)"), "{page}");
    assert!(page.contains(&local(0, "%Y-%m-%d %H:%M:%S")), "{page}");
    let page = boss.get("/admin").text();
    assert!(page.contains("Times are those of the box: Asia/Tokyo."), "{page}");
}
