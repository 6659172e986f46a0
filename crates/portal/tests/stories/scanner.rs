//! The scanner wapiti tests the real portal as a logged-in administrator; any finding fails the
//! test. It takes minutes, so only `make scan` runs it.

use super::browser::{AtPortal, Browser};
use super::stack::{Stack, StackOptions};
use super::supervisor::record_call_over_tls;
use std::process::{Command, Stdio};

/// Modules to run, without those that need a host elsewhere to call back.
const MODULES: &str = "backup,blindsql,cookieflags,crlf,csp,csrf,exec,file,htaccess,http_headers,\
                       methods,permanentxss,redirect,shellshock,sql,xss";
/// Paths that would end the scan's session or change its account's password.
const EXCLUDED_PATHS: [&str; 3] = ["/logout", "/logout/everywhere", "/password"];

/// Debian 12's wapiti has a pattern that its Python rejects when paths are excluded; this replaces
/// the parser.
const WAPITI_SCRIPT: &str = "import re\nfrom wapitiCore.net import crawler\n\
    crawler.wildcard_translate = lambda text: re.compile(re.escape(text) + '$')\n\
    from wapitiCore.main.wapiti import wapiti_main\nwapiti_main()";

#[test]
#[ignore = "minutes long: make scan"]
fn scanner_finds_no_vulnerability() {
    let stack = Stack::new(&StackOptions {
        has_tls: true,
        login_toml: "tries = 100",
        ..StackOptions::default()
    });
    record_call_over_tls(&stack);
    let browser = Browser::new(&stack.url);
    browser.log_in("boss");
    let cookie = browser.cookie_header();
    drop(browser);
    let report = stack.path("wapiti.json");
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", WAPITI_SCRIPT]);
    command.args(["--url", &format!("{}/records", stack.url), "--scope", "domain"]);
    for path in ["/board", "/admin", "/login", "/forgot"] {
        command.args(["--start", &format!("{}{path}", stack.url)]);
    }
    for path in EXCLUDED_PATHS {
        command.args(["--exclude", &format!("{}{path}", stack.url)]);
    }
    command.args(["--header", &format!("Cookie: {cookie}")]);
    command.args(["--header", &format!("Origin: {}", stack.url)]);
    command.args(["--module", MODULES, "--depth", "3", "--max-links-per-page", "40"]);
    command.args(["--max-scan-time", "120", "--max-attack-time", "15", "--timeout", "10"]);
    command.args(["--flush-session", "--no-bugreport", "--verify-ssl", "0", "--format", "json"]);
    command.arg("--output").arg(&report);
    command.arg("--store-session").arg(stack.path("wapiti"));
    command.arg("--store-config").arg(stack.path("wapiti"));
    command.env("HOME", stack.folder.path()).stdin(Stdio::null());
    let status = command.status().unwrap_or_else(|error| panic!("wapiti: {error}: `make scan`"));
    assert!(status.success(), "{status}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let tried = report["infos"]["crawled_pages_nbr"].clone();
    println!("wapiti crawled {tried} pages: {}", report["infos"]);
    let kinds = ["vulnerabilities", "anomalies"].into_iter();
    let found = kinds.flat_map(|kind| report[kind].as_object().unwrap().values());
    let found = found.flat_map(|found| found.as_array().unwrap());
    // An obsolete header that OWASP advises against.
    let found = found.filter(|one| one["info"] != "X-XSS-Protection is not set");
    assert_eq!(found.collect::<Vec<_>>(), Vec::<&serde_json::Value>::new());
    assert!(stack.run_user_command(&["list"], "").contains("boss\tenabled"), "it is still there");
}
