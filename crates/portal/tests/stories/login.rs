//! Login: browser storage, forgotten passwords, lockouts, idle timeout, logout everywhere.

use super::browser::{AtPortal, Browser};
use super::http::{HttpClient, form_encode};
use super::stack::{PASSWORD, Stack, StackOptions, wait_for};

#[test]
fn c3_login_saves_no_password_and_may_keep_username() {
    let stack = Stack::new(&StackOptions { has_tls: true, ..StackOptions::default() });
    let browser = Browser::new(&stack.url);
    browser.open("/agent");
    browser.sees("location.pathname === '/login'");
    browser.assert_accessible("the log-in page");
    browser.save_screenshot("login");
    // Password managers look for a password field: the page has a masked text field instead.
    // Neither field allows autofill.
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
    // Chromium's password and autofill stores hold nothing of it.
    let profile = browser.profile.path().join("Default");
    wait_for("the profile", || profile.exists().then_some(()));
    for name in ["Login Data", "Web Data", "Login Data For Account"] {
        let bytes = std::fs::read(profile.join(name)).unwrap_or_default();
        let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!holds(PASSWORD) && !holds("jdoe"), "{name}");
    }
}

#[test]
fn c4_reset_link_works_once() {
    let stack =
        Stack::new(&StackOptions { has_tls: true, has_mail: true, ..StackOptions::default() });
    let browser = Browser::new(&stack.url);
    browser.open("/login");
    browser.click("a[href='/forgot']");
    browser.sees("location.pathname === '/forgot'");
    browser.assert_accessible("the page for who forgot");
    browser.types("#username", "jdoe");
    browser.click("form button.main");
    browser.sees("document.querySelector('.notice').textContent.includes('on its way')");
    let (to, text) = stack.next_mail();
    assert_eq!(to, "jdoe@example.org");
    let link = text.split_whitespace().find(|word| word.contains("/reset?token=")).unwrap();
    let path = link.strip_prefix(&stack.url).expect("our own address");
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
    browser.sees("document.querySelector('.notice.bad').textContent.includes('expired')");
}

#[test]
fn c4_reset_for_unknown_user_answers_alike_sends_no_mail() {
    let stack = Stack::new(&StackOptions { has_mail: true, ..StackOptions::default() });
    let mut hand = HttpClient::new(&stack);
    let csrf = hand.get("/forgot").csrf_token();
    // An unknown name, no permission, no address, and a header injection.
    let injected = "jdoe\r\nBcc: evil@example.org";
    let asked = ["stranger", "quiet", "nomail", injected, "jdoe"];
    let answers = asked.map(|name| {
        let answer = hand.post("/forgot", &[("csrf", &csrf), ("username", name)]);
        (answer.status, answer.text())
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let (to, text) = stack.next_mail();
    assert_eq!(to, "jdoe@example.org", "the first and only letter");
    assert!(!text.contains("evil") && text.contains("Subject: Your new password"), "{text}");
    let token = text.split("token=").nth(1).unwrap().split_whitespace().next().unwrap();
    let csrf = hand.get(&format!("/reset?token={token}")).csrf_token();
    let set = |hand: &mut HttpClient, token: &str| {
        let wanted = "another good password";
        let fields = [("csrf", &*csrf), ("token", token), ("password", wanted), ("again", wanted)];
        hand.post("/reset", &fields).status
    };
    assert_eq!(set(&mut hand, &"x".repeat(43)), 400);
    assert_eq!(set(&mut hand, token), 303);
    assert_eq!(set(&mut hand, token), 400, "once");
    assert_eq!(hand.get(&format!("/reset?token={}", form_encode("../x"))).status, 400);
}

#[test]
fn c4_link_outlives_further_requests_which_send_no_letter() {
    let stack = Stack::new(&StackOptions { has_mail: true, ..StackOptions::default() });
    let mut hand = HttpClient::new(&stack);
    let csrf = hand.get("/forgot").csrf_token();
    let mut ask = |name: &str| {
        let answer = hand.post("/forgot", &[("csrf", &csrf), ("username", name)]);
        (answer.status, answer.text())
    };
    let first = ask("jdoe");
    let (to, text) = stack.next_mail();
    assert_eq!(to, "jdoe@example.org");
    for name in ["jdoe", "JDoe", "jdoe"] {
        assert_eq!(ask(name), first, "the same answer");
    }
    let again = "jdoe: asked for a link again within a minute";
    wait_for("the requests", || (stack.count_in_log("portal.log", again) == 3).then_some(()));
    assert_eq!(ask("asmith"), first);
    assert_eq!(stack.next_mail().0, "asmith@example.org", "the next letter is to another");
    let token = text.split("token=").nth(1).unwrap().split_whitespace().next().unwrap();
    let csrf = hand.get(&format!("/reset?token={token}")).csrf_token();
    let wanted = "another good password";
    let fields = [("csrf", &*csrf), ("token", token), ("password", wanted), ("again", wanted)];
    assert_eq!(hand.post("/reset", &fields).status, 303, "the link in the first letter");
}

#[test]
fn c5_login_failures_answer_alike_and_five_lock() {
    let stack =
        Stack::new(&StackOptions { login_toml: "lock_seconds = 3600", ..StackOptions::default() });
    stack.run_user_command(&["disable", "quiet"], "");
    let mut hand = HttpClient::new(&stack);
    let mut fail = |name: &str, password: &str| {
        let answer = hand.log_in(name, password);
        assert_eq!(answer.status, 401);
        let words: Vec<String> =
            answer.text().split("role=\"alert\">").map(str::to_owned).collect();
        words[1].split('<').next().unwrap().to_owned()
    };
    let wrong = fail("jdoe", "wrong password here");
    assert_eq!(wrong, fail("stranger", PASSWORD));
    assert_eq!(wrong, fail("quiet", PASSWORD), "disabled");
    for _ in 0..4 {
        assert_eq!(wrong, fail("JDOE", "wrong password here"));
    }
    assert_eq!(wrong, fail("jdoe", PASSWORD), "locked, and it does not say so");
    assert_eq!(HttpClient::new(&stack).log_in("asmith", PASSWORD).status, 303, "others are not");
    stack.run_user_command(&["passwd", "jdoe"], PASSWORD);
    assert_eq!(
        HttpClient::new(&stack).log_in("jdoe", PASSWORD).status,
        303,
        "a new password unlocks"
    );
}

#[test]
fn c5_idle_session_is_warned_ends_and_logout_is_global() {
    let login = "idle_seconds = 24\nwarn_seconds = 12";
    let stack =
        Stack::new(&StackOptions { has_tls: true, login_toml: login, ..StackOptions::default() });
    let browser = Browser::new(&stack.url);
    browser.log_in("jdoe");
    let mut other = Browser::new(&stack.url);
    other.log_in("jdoe");
    // The page warns. Activity keeps the session; without it the user is logged out.
    browser.sees("document.getElementById('idle').open");
    browser.assert_accessible("the question whether the user is there");
    browser.save_screenshot("idle");
    browser.click("#idle button");
    browser.sees("!document.getElementById('idle').open");
    other.sees("location.pathname === '/login' && location.search === '?why=over'");
    browser.sees("document.getElementById('idle').open");
    browser.sees("location.pathname === '/login'");
    browser.log_in("jdoe");
    other = {
        drop(other);
        Browser::new(&stack.url)
    };
    other.log_in("jdoe");
    browser.click("form[action='/logout/everywhere'] button");
    other.sees("location.pathname === '/login'");
}
