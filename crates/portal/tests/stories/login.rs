//! Logging in: what the browser keeps, forgotten passwords, locks, idleness, log-out everywhere.

use super::browser::{AtPortal, Browser};
use super::house::{PASSWORD, Plan, Stack, until};
use super::wire::{Hand, escaped};

#[test]
fn c3_login_saves_no_password_and_may_keep_username() {
    let house = Stack::new(&Plan { tls: true, ..Plan::default() });
    let browser = Browser::new(&house.url);
    browser.open("/agent");
    browser.sees("location.pathname === '/login'");
    browser.assert_accessible("the log-in page");
    browser.picture("login");
    // A password manager looks for a password field: there is none, only one whose letters are
    // hidden. Neither field is for auto-fill.
    assert_eq!(browser.js("return document.querySelectorAll('input[type=password]').length"), 0);
    let hidden = "getComputedStyle(document.getElementById('password')).webkitTextSecurity";
    assert_eq!(browser.js(&format!("return {hidden}")), "disc");
    for id in ["username", "password"] {
        let off = browser.js(&format!("return document.getElementById('{id}').autocomplete"));
        assert_eq!(off, "off");
    }
    browser.types("#username", "jdoe");
    browser.types("#password", PASSWORD);
    browser.click("input[name=remember]");
    browser.click("form button.main");
    browser.sees("location.pathname === '/agent'");
    assert_eq!(browser.js("return document.cookie"), "", "no script can read them");
    let cookies = browser.cookies();
    assert!(cookies.iter().all(|name| name.starts_with("__Host-")) && cookies.len() == 3);
    browser.click(".who form button");
    browser.sees("location.pathname === '/login'");
    assert_eq!(browser.js("return document.getElementById('username').value"), "jdoe");
    assert_eq!(browser.js("return document.getElementById('password').value"), "");
    // Chromium's own stores of passwords and of what was typed into forms know nothing of it.
    let profile = browser.profile.path().join("Default");
    until("the profile", || profile.exists().then_some(()));
    for name in ["Login Data", "Web Data", "Login Data For Account"] {
        let bytes = std::fs::read(profile.join(name)).unwrap_or_default();
        let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!holds(PASSWORD) && !holds("jdoe"), "{name}");
    }
}

#[test]
fn c4_reset_link_works_once() {
    let house = Stack::new(&Plan { tls: true, mail: true, ..Plan::default() });
    let browser = Browser::new(&house.url);
    browser.open("/login");
    browser.click("a[href='/forgot']");
    browser.sees("location.pathname === '/forgot'");
    browser.assert_accessible("the page for who forgot");
    browser.types("#username", "jdoe");
    browser.click("form button.main");
    browser.sees("document.querySelector('.notice').textContent.includes('on its way')");
    let (to, text) = house.letter();
    assert_eq!(to, "jdoe@example.org");
    let link = text.split_whitespace().find(|word| word.contains("/reset?token=")).unwrap();
    let path = link.strip_prefix(&house.url).expect("our own address");
    browser.open(path);
    browser.assert_accessible("the page for a new password");
    browser.types("#password", "too short");
    browser.types("#again", "too short");
    browser.click("form button.main");
    browser.sees("document.querySelector('.notice.bad').textContent.includes('at least 12')");
    browser.types("#password", "a quite different one");
    browser.types("#again", "a quite different one");
    browser.click("form button.main");
    browser.sees("location.search === '?why=set'");
    browser.types("#username", "jdoe");
    browser.types("#password", "a quite different one");
    browser.click("form button.main");
    browser.sees("location.pathname === '/agent'");
    browser.open(path);
    browser.sees("document.querySelector('.notice.bad').textContent.includes('no good')");
}

#[test]
fn c4_reset_for_unknown_user_answers_alike_sends_no_mail() {
    let house = Stack::new(&Plan { mail: true, ..Plan::default() });
    let mut hand = Hand::new(&house);
    let csrf = hand.get("/forgot").csrf();
    // Unknown; without the right; without an address; somebody who tries to add a header.
    let injected = "jdoe\r\nBcc: evil@example.org";
    let asked = ["nobody", "quiet", "nomail", injected, "jdoe"];
    let answers = asked.map(|name| {
        let answer = hand.post("/forgot", &[("csrf", &csrf), ("username", name)]);
        (answer.status, answer.text())
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let (to, text) = house.letter();
    assert_eq!(to, "jdoe@example.org", "the first and only letter");
    assert!(!text.contains("evil") && text.contains("Subject: Your new password"), "{text}");
    let token = text.split("token=").nth(1).unwrap().split_whitespace().next().unwrap();
    let csrf = hand.get(&format!("/reset?token={token}")).csrf();
    let set = |hand: &mut Hand, token: &str| {
        let wanted = "another good password";
        let fields = [("csrf", &*csrf), ("token", token), ("password", wanted), ("again", wanted)];
        hand.post("/reset", &fields).status
    };
    assert_eq!(set(&mut hand, &"x".repeat(43)), 400);
    assert_eq!(set(&mut hand, token), 303);
    assert_eq!(set(&mut hand, token), 400, "once");
    assert_eq!(hand.get(&format!("/reset?token={}", escaped("../x"))).status, 400);
}

#[test]
fn c4_link_outlives_further_requests_which_send_no_letter() {
    let house = Stack::new(&Plan { mail: true, ..Plan::default() });
    let mut hand = Hand::new(&house);
    let csrf = hand.get("/forgot").csrf();
    let mut ask = |name: &str| {
        let answer = hand.post("/forgot", &[("csrf", &csrf), ("username", name)]);
        (answer.status, answer.text())
    };
    let first = ask("jdoe");
    let (to, text) = house.letter();
    assert_eq!(to, "jdoe@example.org");
    for name in ["jdoe", "JDoe", "jdoe"] {
        assert_eq!(ask(name), first, "the same answer");
    }
    let again = "jdoe: asked for a link again within a minute";
    until("the requests", || (house.logged("portal.log", again) == 3).then_some(()));
    assert_eq!(ask("asmith"), first);
    assert_eq!(house.letter().0, "asmith@example.org", "the next letter is to another");
    let token = text.split("token=").nth(1).unwrap().split_whitespace().next().unwrap();
    let csrf = hand.get(&format!("/reset?token={token}")).csrf();
    let wanted = "another good password";
    let fields = [("csrf", &*csrf), ("token", token), ("password", wanted), ("again", wanted)];
    assert_eq!(hand.post("/reset", &fields).status, 303, "the link in the first letter");
}

#[test]
fn c5_login_failures_answer_alike_and_five_lock() {
    let house = Stack::new(&Plan { login: "lock_seconds = 3600", ..Plan::default() });
    house.user(&["disable", "quiet"], "");
    let mut hand = Hand::new(&house);
    let mut fail = |name: &str, password: &str| {
        let answer = hand.log_in(name, password);
        assert_eq!(answer.status, 401);
        let words: Vec<String> =
            answer.text().split("role=\"alert\">").map(str::to_owned).collect();
        words[1].split('<').next().unwrap().to_owned()
    };
    let wrong = fail("jdoe", "wrong password here");
    assert_eq!(wrong, fail("nobody", PASSWORD));
    assert_eq!(wrong, fail("quiet", PASSWORD), "disabled");
    for _ in 0..4 {
        assert_eq!(wrong, fail("JDOE", "wrong password here"));
    }
    assert_eq!(wrong, fail("jdoe", PASSWORD), "locked, and it does not say so");
    assert_eq!(Hand::new(&house).log_in("asmith", PASSWORD).status, 303, "others are not");
    house.user(&["passwd", "jdoe"], PASSWORD);
    assert_eq!(Hand::new(&house).log_in("jdoe", PASSWORD).status, 303, "a new password unlocks");
}

#[test]
fn c5_idle_session_is_warned_ends_and_logout_is_global() {
    let login = "idle_seconds = 24\nwarn_seconds = 12";
    let house = Stack::new(&Plan { tls: true, login, ..Plan::default() });
    let browser = Browser::new(&house.url);
    browser.log_in("jdoe");
    let mut other = Browser::new(&house.url);
    other.log_in("jdoe");
    // It warns; who stays, stays; who does not is logged out without touching anything.
    browser.sees("document.getElementById('idle').open");
    browser.assert_accessible("the question whether somebody is there");
    browser.picture("idle");
    browser.click("#idle button");
    browser.sees("!document.getElementById('idle').open");
    other.sees("location.pathname === '/login' && location.search === '?why=over'");
    browser.sees("document.getElementById('idle').open");
    browser.sees("location.pathname === '/login'");
    browser.log_in("jdoe");
    other = {
        drop(other);
        Browser::new(&house.url)
    };
    other.log_in("jdoe");
    browser.click("form[action='/logout/everywhere'] button");
    other.sees("location.pathname === '/login'");
}
