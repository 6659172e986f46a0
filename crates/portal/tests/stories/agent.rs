//! The agent's page: recording, blackout, fields, two tabs, two agents, a lost recorder.

use super::browser::{AtPortal, Browser, Look};
use super::http::HttpClient;
use super::stack::{Stack, StackOptions, wait_for};
use testkit::browser::Key;

fn tls_stack() -> Stack {
    Stack::new(&StackOptions { has_tls: true, ..StackOptions::default() })
}

#[test]
fn c1_c2_browser_records_masks_and_describes_a_call() {
    let stack = tls_stack();
    let browser = Browser::new(&stack.url);
    browser.log_in("jdoe");
    browser.sees("document.getElementById('agent').dataset.link === 'up'");
    assert_eq!(browser.text("call"), "No call");
    assert!(!browser.is_open("record.start"), "there is no call");
    browser.assert_accessible("the agent's page");
    let first = browser.tab();
    let second = browser.new_tab();
    browser.open("/agent");

    stack.send_cti("call start device=1001 call=c-77 ani=5551234 direction=in");
    browser.waits_for_text("call", "Incoming call");
    browser.to(&first);
    browser.press("record.start");
    browser.waits_for_text("recording", "Recording");
    browser.waits_for_text("said", "Recording.");
    browser.sees("document.getElementById('agent').dataset.recording === 'true'");
    browser.to(&second);
    browser.sees("document.getElementById('agent').dataset.recording === 'true'");
    browser.waits_open("record.stop");

    // The second tab blacks out by hotkey; the first one shows it and ends it.
    browser.key(Key::F8);
    browser.waits_for_text("blackout", "on");
    browser.waits_for_text("said", "Masked since ");
    browser.sees("document.getElementById('timer').textContent !== '0:00'");
    browser.to(&first);
    browser.waits_for_text("blackout", "on");
    browser.sees("document.getElementById('timer').textContent !== '0:00'");
    browser.assert_accessible("the agent's page in a blackout");
    browser.save_screenshot("agent-blackout");
    browser.press("blackout.stop");
    browser.waits_for_text("said", "The blackout is over");
    browser.to(&second);
    browser.waits_for_text("blackout", "off");

    browser.types("#field-1", "Mr. \"Miller\" \\ Sons");
    browser.press("save-1");
    browser.waits_for_text("said-1", "Saved.");
    browser.sees("document.getElementById('field-1').value === ''");
    browser.types("#field-3", "a<b");
    browser.press("save-3");
    browser.sees("document.getElementById('said-3').classList.contains('bad')");
    let said = browser.text("said-3");
    assert!(said.contains("'<' is not allowed"), "F4: {said}");
    browser.save_screenshot("agent-recording");
    let page = browser.js("return document.documentElement.outerHTML").to_string();
    assert!(!page.contains("screen.start") && !page.contains("Miller"), "C2 and F2");
    browser.open("/agent");
    let page = browser.js("return document.documentElement.outerHTML").to_string();
    assert!(!page.contains("Miller"), "F2: what is stored is not shown");

    browser.press("record.stop");
    browser.waits_for_text("recording", "Not recording");
    stack.send_cti("call stop device=1001 call=c-77");
    browser.waits_for_text("call", "No call");

    let records = stack.run_tool(&["records", "--json"]);
    let records: serde_json::Value = serde_json::from_str(&records).unwrap();
    let id = records[0]["id"].as_str().or(records[0]["recording"].as_str()).unwrap();
    let record = stack.show_recording(id).to_string();
    assert!(record.contains(r#"Mr. \"Miller\" \\ Sons"#), "{record}");
    assert!(!record.contains("a<b") && record.contains("\"blackouts\":[{"), "{record}");
}

/// A blackout of call A carried silently into call B, and the page said "Recording started".
#[test]
fn g4_forgotten_blackout_is_told_at_the_start_of_the_next_call() {
    let stack = tls_stack();
    let browser = Browser::new(&stack.url);
    browser.log_in("jdoe");
    let begin = |call: &str| {
        stack.send_cti(&format!("call start device=1001 call={call} direction=in"));
        browser.waits_for_text("call-id", call);
        browser.waits_open("record.start");
        browser.press("record.start");
        browser.sees("document.getElementById('agent').dataset.recording === 'true'");
    };
    let end = |call: &str| {
        stack.send_cti(&format!("call stop device=1001 call={call}"));
        browser.waits_for_text("call", "No call");
    };
    let band_is_shown = "!document.getElementById('carried').hidden";
    let band_is_hidden = "document.getElementById('carried').hidden";
    begin("a");
    browser.waits_open("blackout.start");
    browser.press("blackout.start");
    browser.waits_for_text("blackout", "on");
    browser.sees(band_is_hidden);
    end("a");

    begin("b");
    browser.sees(band_is_shown);
    let band = browser.text("carried-title");
    assert!(band.contains("You are still blacked out from the call before."), "{band}");
    assert!(band.contains("Nothing of this call is kept."), "{band}");
    let colour = "return getComputedStyle(document.getElementById('carried')).backgroundColor";
    let colour = browser.js(colour).to_string();
    assert!(colour.contains("rgb(0, 0, 0)") || colour.contains("rgb(16, 19, 28)"), "{colour}");
    browser.assert_accessible("a carried blackout");
    browser.press("carried-keep");
    browser.sees(band_is_hidden);
    browser.waits_for_text("blackout", "on");
    let calls = stack.send_command("monitor", "calls");
    assert!(calls.contains("call=b") && calls.contains("blackout=on"), "{calls}");
    end("b");

    begin("c");
    browser.sees(band_is_shown);
    browser.press("carried-end");
    browser.waits_for_text("blackout", "off");
    browser.sees(band_is_hidden);
    let calls = stack.send_command("monitor", "calls");
    assert!(calls.contains("call=c") && calls.contains("blackout=off"), "{calls}");
}

/// Fields of a call's newest record, by number.
fn fields_of_call(stack: &Stack, call: &str) -> serde_json::Value {
    let records = stack.run_tool(&["records", "--json"]);
    let records: serde_json::Value = serde_json::from_str(&records).unwrap();
    let ids = records.as_array().unwrap().iter();
    let ids = ids.map(|one| one["id"].as_str().or(one["recording"].as_str()).unwrap().to_owned());
    let shown: Vec<serde_json::Value> = ids.map(|id| stack.show_recording(&id)).collect();
    let record = shown.iter().find(|record| record["call"]["id"] == call).expect(call);
    record["fields"].clone()
}

#[test]
fn f1_text_typed_for_one_call_does_not_reach_the_record_of_the_next() {
    let stack = tls_stack();
    let browser = Browser::new(&stack.url);
    browser.log_in("jdoe");
    let record_next_call = |call: &str| {
        stack.send_cti(&format!("call start device=1001 call={call} direction=in"));
        browser.waits_open("record.start");
        browser.press("record.start");
        browser.sees("document.getElementById('agent').dataset.recording === 'true'");
        browser.sees("!document.getElementById('field-1').disabled");
    };
    record_next_call("a");
    browser.types("#field-1", "Mr. Miller");
    browser.types("#field-3", "about the invoice");
    // The wrap-up keeps the form; the next call empties it and offers what was not saved.
    stack.send_cti("call stop device=1001 call=a");
    browser.waits_for_text("call", "No call");
    browser.sees("document.getElementById('field-1').value === 'Mr. Miller'");
    record_next_call("b");
    browser.sees("document.getElementById('field-1').value === ''");
    browser.sees("!document.getElementById('unsaved').hidden");
    browser.sees("document.getElementById('unsaved-values').textContent.includes('Mr. Miller')");
    browser.assert_accessible("the offer of what was typed for the call before");
    browser.types("#field-1", "Mrs. Smith");
    browser.press("save-1");
    browser.waits_for_text("said-1", "Saved.");
    browser.press("unsaved-save");
    browser.sees("document.getElementById('unsaved').hidden");
    let (before, now) = (fields_of_call(&stack, "a"), fields_of_call(&stack, "b"));
    assert!(before.to_string().contains("Mr. Miller"), "{before}");
    assert!(before.to_string().contains("about the invoice"), "{before}");
    assert!(now.to_string().contains("Mrs. Smith"), "{now}");
    assert!(!now.to_string().contains("invoice") && !now.to_string().contains("Miller"), "{now}");

    // Discarded text is gone, and a press that crosses the next call is still for its own call.
    browser.types("#field-3", "never saved");
    stack.send_cti("call stop device=1001 call=b");
    stack.send_cti("call start device=1001 call=b direction=in");
    browser.sees("!document.getElementById('unsaved').hidden");
    browser.press("unsaved-drop");
    browser.sees("document.getElementById('unsaved-values').textContent === ''");
    let page = browser.js("return document.documentElement.outerHTML").to_string();
    assert!(!page.contains("never saved"));
}

#[test]
fn f1_form_of_an_earlier_call_is_refused_after_its_wrap_up() {
    let stack = Stack::new(&StackOptions { audio: "wrapup_s = 1", ..StackOptions::default() });
    let mut jane = HttpClient::logged_in(&stack, "jdoe");
    stack.send_cti("call start device=1001 call=a direction=in");
    let csrf = jane.get("/agent").csrf_token();
    jane.post("/agent/do", &[("csrf", &csrf), ("act", "record.start")]);
    let call_of_page = |jane: &mut HttpClient| {
        let page = jane.get("/agent").text();
        page.split("name=\"call\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let call = wait_for("a form for the call", || {
        Some(call_of_page(&mut jane)).filter(|call| !call.is_empty())
    });
    stack.send_cti("call stop device=1001 call=a");
    stack.send_cti("call start device=1001 call=a direction=in");
    jane.post("/agent/do", &[("csrf", &csrf), ("act", "record.start")]);
    let save = |jane: &mut HttpClient, value: &str| {
        let fields = [("csrf", &*csrf), ("n", "1"), ("value", value), ("call", &*call)];
        jane.post("/agent/field", &fields).header("location").unwrap_or_default().to_owned()
    };
    let other = "/agent?said=other-call";
    wait_for("the end of the wrap-up", || {
        (save(&mut jane, "typed in time") == other).then_some(())
    });
    assert_eq!(save(&mut jane, "typed too late"), other);
    assert!(jane.get(other).text().contains("you typed this for an earlier call"));
    stack.send_cti("call stop device=1001 call=a");
    let records = stack.run_tool(&["records", "--json"]);
    let records: serde_json::Value = serde_json::from_str(&records).unwrap();
    for record in records.as_array().unwrap() {
        let id = record["id"].as_str().or(record["recording"].as_str()).unwrap();
        assert!(!stack.show_recording(id).to_string().contains("typed too late"));
    }
}

#[test]
fn b2_two_agents_see_only_their_own_calls() {
    let stack = tls_stack();
    let (jane, ann) = (Browser::new(&stack.url), Browser::new(&stack.url));
    jane.log_in("jdoe");
    ann.log_in("ASmith");
    stack.send_cti("call start device=1001 call=c1 direction=out");
    jane.waits_for_text("call", "Outgoing call");
    jane.press("record.start");
    jane.sees("document.getElementById('agent').dataset.recording === 'true'");
    stack.send_cti("call start device=1002 call=c2 direction=in");
    ann.waits_for_text("call", "Incoming call");
    assert_eq!(ann.text("recording"), "Not recording");
    assert_eq!((ann.text("device"), jane.text("device")), ("1002".into(), "1001".into()));
    ann.press("record.start");
    ann.press("blackout.start");
    ann.waits_for_text("blackout", "on");
    assert_eq!(jane.text("blackout"), "off");
}

#[test]
fn a10_page_is_disabled_while_recorder_is_unreachable() {
    let mut stack = tls_stack();
    let browser = Browser::with(&stack.url, Look { dark: true, phone: true });
    browser.log_in("jdoe");
    stack.send_cti("call start device=1001 call=c1 direction=in");
    browser.press("record.start");
    browser.sees("document.getElementById('agent').dataset.recording === 'true'");
    browser.save_screenshot("agent-dark-phone");
    browser.assert_accessible("the agent's page, dark, on a phone");
    stack.kill_box();
    browser.waits_for_text("down-title", "The box cannot be reached.");
    browser.sees("!document.getElementById('down').hidden");
    browser.sees("[...document.querySelectorAll('.act button')].every((b) => b.disabled)");
    browser.assert_accessible("the agent's page without a box");
    browser.save_screenshot("agent-lost");
    stack.start_box();
    browser.sees("document.getElementById('down').hidden");
    browser.sees("document.getElementById('agent').dataset.recording === 'true'");
    browser.press("record.stop");
    browser.waits_for_text("recording", "Not recording");

    // After a restart of the portal the page reconnects with the same session.
    stack.stop_portal();
    browser.waits_for_text("down-why", "The portal does not answer.");
    stack.start_portal();
    browser.sees("document.getElementById('down').hidden");
    browser.waits_open("record.start");
}

#[test]
fn c1_buttons_work_without_javascript() {
    let stack = Stack::new(&StackOptions::default());
    let mut jane = HttpClient::logged_in(&stack, "jdoe");
    let csrf = jane.get("/agent").csrf_token();
    stack.send_cti("call start device=1001 call=c1 direction=in");
    let mut press = |act: &str| {
        let answer = jane.post("/agent/do", &[("csrf", &csrf), ("act", act)]);
        (answer.status, answer.header("location").unwrap_or_default().to_owned())
    };
    let done = (303, "/agent?said=done".to_owned());
    assert_eq!(press("record.start"), done);
    assert_eq!(press("blackout.start"), done);
    assert_eq!(press("blackout.stop"), done);
    assert_eq!(press("record.stop"), done);
    assert_eq!(press("screen.start").0, 400, "C2: there is no such button");
    assert_eq!(press("record start\nquit").0, 400);
    let set = |jane: &mut HttpClient, n: &str, value: &str| {
        let answer = jane.post("/agent/field", &[("csrf", &csrf), ("n", n), ("value", value)]);
        (answer.status, answer.header("location").unwrap_or_default().to_owned())
    };
    let saved = (303, "/agent?said=saved".to_owned());
    let bad = (303, "/agent?said=characters".to_owned());
    assert_eq!(set(&mut jane, "1", "Mr. Miller"), saved);
    assert_eq!(set(&mut jane, "1", "a+b"), bad);
    assert_eq!(set(&mut jane, "1", "a\nupdate 3 x"), bad);
    assert_eq!(set(&mut jane, "2", "x").1, "/agent?said=no", "not this agent's field");
    assert_eq!(set(&mut jane, "16", "x").0, 400);
    assert_eq!(set(&mut jane, "1", &"x".repeat(257)).1, "/agent?said=no");
    let page = jane.get("/agent?said=<script>").text();
    assert!(!page.contains("<script>") && !page.contains("Miller"));
}

#[test]
fn c6_agent_page_reports_when_web_is_off() {
    let stack = Stack::new(&StackOptions { has_web: false, ..StackOptions::default() });
    let mut jane = HttpClient::logged_in(&stack, "jdoe");
    let page = jane.get("/agent").text();
    assert!(page.contains("You cannot record here.") && page.contains("switched off"), "{page}");
    assert!(
        page.contains("id=\"record.start\" class=\"record\" aria-keyshortcuts=\"F9\" disabled")
    );
}
