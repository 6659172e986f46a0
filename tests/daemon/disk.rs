//! The story of the disk: the data directory of a running box goes away and comes back, as a disk
//! does whose plug was pulled.

use std::time::Duration;
use testkit::daemon::client::Line;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, await_ended, await_position, let_pass};

#[test]
fn h4_g5_the_data_directory_goes_away_and_comes_back() {
    let story = Daemon::start_new(Site::sim(&[1, 1]));
    let mut pbx = story.client("hello cti");
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    pbx.ok("call start device=1001 call=c1");
    let mut agent = story.client("hello agent user=a1 machine=WS-1");
    let first = agent.ok("record start").get("recording").to_owned();
    agent.ok("update 1 \"Jane Roe\"");
    await_position(&mut watcher, 1, 5 * RATE);
    let (data, away) = (story.data(), story.path("away"));
    std::fs::rename(&data, &away).unwrap();
    // An empty place to mount it on is not the disk.
    std::fs::create_dir(&data).unwrap();
    let alarm = |line: &Line, what: &str| line.get("what") == what && line.get("alarm") == "402";
    watcher.await_news("alarm 402", |line| alarm(line, "alarm"));
    agent.err("update 1 \"Jane Doe\"", "storage");
    let refused = agent.ask("blackout start lead_ms=0").end;
    assert_eq!((refused.code(), refused.get("masked")), ("storage", "yes"));
    let_pass(Duration::from_millis(1500));
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "nothing is written there");
    std::fs::remove_dir(&data).unwrap();
    std::fs::rename(&away, &data).unwrap();
    watcher.await_news("the end of alarm 402", |line| alarm(line, "alarm-over"));
    agent.ok("blackout stop");
    agent.ok("update 3 \"Claim 7\"");
    let second = agent.ok("record stop").get("recording").to_owned();
    assert_ne!(first, second, "it went on in a new file");
    await_ended(&mut watcher, &[&second]);
    let second = story.show(&second);
    let first = story.show(&first);
    assert_eq!(first.text("/end"), "storage");
    assert_eq!(first.to(), second.from(), "and nothing is missing between them");
    pbx.ok("call stop device=1001 call=c1");
    story.assert_verified();
}
