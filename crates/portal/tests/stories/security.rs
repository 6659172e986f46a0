//! Attacks: forged forms, session fixation, guessing, access to other users' data, malformed input.

use super::http::{HttpClient, send_raw};
use super::stack::{PASSWORD, Stack, StackOptions};

#[test]
fn forms_cross_site_or_without_csrf_token_do_nothing() {
    let stack = Stack::new(&StackOptions::default());
    stack.send_cti("call start device=1001 call=c1 direction=in");
    let mut jane = HttpClient::logged_in(&stack, "jdoe");
    let csrf = jane.get("/agent").csrf_token();
    let start = |hand: &mut HttpClient, csrf: &str| {
        hand.post("/agent/do", &[("csrf", csrf), ("act", "record.start")]).status
    };
    assert_eq!(start(&mut jane, ""), 403);
    let mut ann = HttpClient::logged_in(&stack, "asmith");
    let hers = ann.get("/agent").csrf_token();
    assert_eq!(start(&mut jane, &hers), 403, "the word of another session");
    for origin in ["http://evil.example", "null", "", "http://127.0.0.1"] {
        let mut evil = jane.clone();
        evil.origin = origin.to_owned();
        assert_eq!(start(&mut evil, &csrf), 403, "{origin}");
    }
    let mut evil = jane.clone();
    evil.headers.push("Sec-Fetch-Site: cross-site".to_owned());
    assert_eq!(start(&mut evil, &csrf), 403);
    let mut guest = HttpClient::new(&stack);
    let fields = [("csrf", &*csrf), ("username", "jdoe"), ("password", PASSWORD)];
    assert_eq!(guest.post("/login", &fields).status, 403, "log-in is a form like any other");
    for path in ["/logout", "/logout/everywhere", "/session/stay", "/password", "/agent/field"] {
        assert_eq!(jane.post(path, &[("csrf", "x")]).status, 403, "{path}");
        assert!([303, 403].contains(&HttpClient::new(&stack).post(path, &[]).status), "{path}");
    }
    assert_eq!(start(&mut jane, &csrf), 303, "only the real one");
}

#[test]
fn session_id_set_by_others_is_not_used() {
    let stack = Stack::new(&StackOptions::default());
    let mut jane = HttpClient::new(&stack);
    let laid = "A".repeat(43);
    jane.cookies.push(("hushbox".to_owned(), laid.clone()));
    assert_eq!(jane.log_in("jdoe", PASSWORD).status, 303);
    assert_ne!(jane.cookie("hushbox"), laid);
    let first = jane.cookie("hushbox").to_owned();
    assert_eq!(jane.log_in("jdoe", PASSWORD).status, 303);
    assert_ne!(jane.cookie("hushbox"), first, "each log-in begins a new one");
    let mut old = HttpClient::new(&stack);
    for secret in [laid, first] {
        old.cookies = vec![("hushbox".to_owned(), secret)];
        assert_eq!(old.get("/agent").header("location"), Some("/login?why=over"));
    }
    let csrf = jane.get("/agent").csrf_token();
    let mut copy = jane.clone();
    assert_eq!(jane.post("/logout", &[("csrf", &csrf)]).status, 303);
    assert_eq!(copy.get("/agent").status, 303, "a copied cookie is worth nothing after log-out");
}

#[test]
fn address_that_guesses_fast_is_rate_limited() {
    let stack = Stack::new(&StackOptions::default());
    let mut hand = HttpClient::new(&stack);
    let csrf = hand.get("/login").csrf_token();
    let mut codes = Vec::new();
    for n in 0..30 {
        let name = format!("stranger{n}");
        let fields = [("csrf", &*csrf), ("username", &*name), ("password", "x")];
        codes.push(hand.post("/login", &fields).status);
    }
    assert!(codes.contains(&429) && codes[0] == 401, "{codes:?}");
}

#[test]
fn malformed_requests_are_refused() {
    let stack = Stack::new(&StackOptions::default());
    let mut hand = HttpClient::new(&stack);
    for path in [
        "/assets/x/../../portal.toml",
        "/assets/x/..%2f..%2fportal.toml",
        "/assets/../portal.toml",
        "/assets/x/%2e%2e",
        "//etc/passwd",
        "/.git/config",
        "/portal.sqlite",
        "/agent/../../etc/passwd",
        "/assets/x/style.css%00.html",
    ] {
        let answer = hand.get(path);
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status);
    }
    assert_eq!(hand.get("/assets/x/style.css").status, 200);
    let host = format!("Host: 127.0.0.1:{}\r\n", stack.port);
    let evil = "GET /login HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(send_raw(stack.port, evil.as_bytes()).status, 421, "links name no other's host");
    let two = format!("GET /login HTTP/1.1\r\n{host}Host: evil\r\nConnection: close\r\n\r\n");
    assert!([400, 200, 421].contains(&send_raw(stack.port, two.as_bytes()).status));
    let long = format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(100_000));
    assert!([414, 400, 431].contains(&send_raw(stack.port, long.as_bytes()).status));
    let head = format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(600_000));
    assert_eq!(send_raw(stack.port, head.as_bytes()).status, 431);
    let csrf = hand.get("/login").csrf_token();
    let fields = [("csrf", &*csrf), ("username", "jdoe"), ("password", &*"x".repeat(40_000))];
    let big = hand.post("/login", &fields);
    assert!([400, 413].contains(&big.status), "{}", big.status);
    assert_eq!(send_raw(stack.port, b"\x16\x03\x01\x00\x05hello\r\n\r\n").status, 400, "no HTTP");
    let folded = hand.get("/login?why=%0d%0aSet-Cookie:%20x=y");
    assert!(folded.status == 200 && !folded.head.contains("x=y"));
    assert_eq!(hand.get("/metrics").status, 200, "this machine may");
    assert!(!hand.get("/metrics").text().contains("jdoe"));
}

#[test]
fn replies_carry_security_headers() {
    let stack = Stack::new(&StackOptions::default());
    let mut jane = HttpClient::logged_in(&stack, "jdoe");
    for path in ["/login", "/agent", "/nothing", "/password", "/assets/x/agent.js"] {
        let answer = jane.get(path);
        let csp = answer.header("content-security-policy").unwrap_or_default();
        assert!(csp.starts_with("default-src 'none'") && !csp.contains("unsafe"), "{path}: {csp}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let text = answer.text();
        assert!(!text.contains(" style=") && !text.contains(" onclick="), "{path}");
        assert!(!text.contains("<script>") && !text.contains("<style"), "{path}");
        assert!(!text.contains("http://") && !text.contains("https://"), "{path}: own things only");
    }
    assert_eq!(jane.get("/agent").header("cache-control"), Some("no-store"));
}
