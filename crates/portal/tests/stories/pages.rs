//! A supervisor pages through more recordings than fit on a page and opens a long one. The real
//! recorder and portal run on a store of several days.

use hushbox::store::day::Day;
use std::collections::BTreeSet;
use testkit::browser::Browser;
use testkit::load::library::{Library, LibraryPlan, ani};
use testkit::load::supervisor::{PASSWORD, PortalStack, PortalUser, between, listed, older, wav};

/// Longer than what is drawn at once: three quarters of an hour.
const PLAN: LibraryPlan = LibraryPlan { days: 3, a_day: 90, long_s: 2700 };
/// A fixed day, independent of the clock.
const TODAY: Day = Day(20_000);

/// Pages from the newest to the oldest recording by *Older*.
fn list_all_pages(user: &PortalUser, first: &str) -> Vec<Vec<String>> {
    let (mut path, mut pages) = (first.to_owned(), Vec::new());
    loop {
        let text = user.get(&path).text();
        pages.push(listed(&text));
        assert!(pages.len() < 10, "it never ends: {path}");
        match older(&text) {
            Some(next) => path = next,
            None => return pages,
        }
    }
}

#[test]
fn pages_show_every_recording_and_long_ones_play_first() {
    let folder = tempfile::tempdir().unwrap();
    let long = Library::new(PLAN, &folder.path().join("data"), &wav()).write(TODAY);
    let stack = PortalStack::start(folder.path());
    let user = stack.supervisor();
    let pages = list_all_pages(&user, "/records");
    let all: BTreeSet<&String> = pages.iter().flatten().collect();
    // The last record of a page is the first of the next, so that none is skipped.
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!((all.len(), sizes), (271, vec![100, 100, 73]));
    let again = list_all_pages(&user, "/records?agent=stranger");
    assert_eq!(again, [Vec::<String>::new()], "an empty answer has no older one");
    let oldest = pages.last().and_then(|page| page.last()).unwrap();
    let asked = format!("/records?ani={}", ani(0).replace('+', "%2B"));
    assert_eq!(listed(&user.get(&asked).text()), [oldest.as_str()]);
    let from = format!("/records?from={}T00:00&to={}T00:00", Day(TODAY.0 - 3), Day(TODAY.0 - 2));
    assert_eq!(listed(&user.get(&from).text()).len(), 90, "a day");
    assert_plays_before_waveform(&user, &long);
    play_in_browser(&stack, &long);
}

/// Asserts that playback works before the waveform is computed.
fn assert_plays_before_waveform(user: &PortalUser, long: &str) {
    let wave = format!("/records/{long}/wave");
    let none = user.ask(&format!("GET {wave}"), "", "");
    assert!(none.head.starts_with("HTTP/1.1 404 "), "it is not open: {}", none.head);
    let page = user.get(&format!("/records/{long}?listen=yes")).text();
    assert!(page.contains(&format!("data-wave=\"{wave}\"")) && !page.contains("class=\"loud"));
    let sound = user.ask(&format!("GET /records/{long}/sound"), "Range: bytes=0-3\r\n", "");
    assert_eq!(sound.body, [0x1a, 0x45, 0xdf, 0xa3], "WebM: {}", sound.head);
    assert!(between(&sound.head, "content-range: bytes 0-3/", "\r").is_some());
    let drawn = user.get(&wave).text();
    let peaks = drawn.matches('M').count();
    assert!(drawn.starts_with("[{\"class\":\"loud side-0\"") && peaks > 900, "{peaks} peaks");
    let page = user.get(&format!("/records/{long}?listen=yes")).text();
    assert!(page.contains("class=\"loud") && !page.contains("data-wave="), "it is known now");
}

/// Asserts in a browser that it plays at once, also near its end, and that the waveform appears.
fn play_in_browser(stack: &PortalStack, long: &str) {
    let browser = Browser::new(stack.ready.split("url=").nth(1).unwrap());
    browser.open("/login");
    browser.js(&format!(
        "document.querySelector('[name=username]').value = 'boss';
         document.querySelector('[name=password]').value = {PASSWORD:?};
         document.querySelector('form button').click()"
    ));
    browser.sees("location.pathname === '/records'");
    browser.open(&format!("/records/{long}"));
    assert_eq!(browser.js("return document.querySelectorAll('.loud').length"), 0);
    browser.js("document.getElementById('listen').click()");
    browser.sees("document.getElementById('player').readyState >= 1");
    let place = PLAN.long_s - 60;
    browser.js(&format!(
        "window.place = 0;
         const player = document.getElementById('player');
         player.addEventListener('seeked', () => {{ window.place = player.currentTime; }});
         player.currentTime = {place}"
    ));
    browser.sees(&format!("Math.abs(window.place - {place}) < 1"));
    browser.sees("document.querySelectorAll('#wave path.loud').length === 1");
    browser.sees("document.getElementById('drawing').textContent === ''");
}
