//! Boards of kind `sip`: defaults, slots, reload, and the errors of each key.

use super::{Wanted, errors, good, listed, same};
use hushbox::config::difference::{changed_keys, keep_start_keys};
use hushbox::config::{
    BoardKind, Config, FIRST_SLOT_ID, RtpCodecKind, SipListen, SipSettings, SipTransport, SrtpMode,
    WhenDown,
};

const LISTENER: &str = "[[listen]]\nunix = \"s\"\n";

/// The keys of a board, as a file without warnings.
fn file(keys: &str) -> String {
    format!("{LISTENER}[[board]]\nname = \"sbc\"\nkind = \"sip\"\n{keys}")
}

fn settings(config: &Config, board: usize) -> &SipSettings {
    match &config.boards[board].kind {
        BoardKind::Sip(sip) => sip,
        other => panic!("{other:?}"),
    }
}

#[test]
fn i1_a_sip_board_needs_only_its_listeners() {
    let (config, warnings) = good(&file("listen = [\"udp:127.0.0.1:5060\"]"));
    assert_eq!(warnings, [], "{}", listed(&warnings));
    let sip = settings(&config, 0);
    let address = "127.0.0.1:5060".parse().expect("an address");
    assert_eq!(sip.listen, [SipListen { transport: SipTransport::Udp, address }]);
    assert_eq!((sip.address, sip.ports, sip.calls), (None, (20_000, 23_999), 500));
    assert!(sip.peers.is_empty() && sip.devices.is_empty() && config.boards[0].mask_digits);
    let all = [
        RtpCodecKind::Pcmu,
        RtpCodecKind::Pcma,
        RtpCodecKind::Opus,
        RtpCodecKind::G722,
        RtpCodecKind::G729,
    ];
    assert_eq!(sip.codecs, all);
    assert_eq!((sip.srtp, sip.when_down), (SrtpMode::Offered, WhenDown::Take));
    assert!(sip.admits("127.0.0.1".parse().expect("an address")));
    assert!(!sip.admits("192.0.2.1".parse().expect("an address")), "nobody else was named");
    assert_eq!(sip.rtp_bind_address(), address.ip());
}

#[test]
fn each_call_of_a_sip_board_has_a_channel() {
    let text = format!(
        "{}[[board]]\nname = \"two\"\nkind = \"sip\"\ncalls = 3\nports = \"30000-30011\"\n\
         listen = [\"tcp:127.0.0.1:5070\"]\n[[board]]\nname = \"demo\"\nkind = \"sim\"\n\
         channels = [{{ id = 9999, device = \"1\", source = \"a.wav\" }}]",
        file("calls = 2\nlisten = [\"udp:[::1]:5060\", \"tls:127.0.0.1:5061\"]\n")
    );
    let (config, _) = good(&text);
    let ids = |board: usize| config.boards[board].channels.iter().map(|channel| channel.id);
    assert_eq!(ids(0).collect::<Vec<_>>(), [FIRST_SLOT_ID, FIRST_SLOT_ID + 1]);
    assert_eq!(ids(1).collect::<Vec<_>>(), [10_002, 10_003, 10_004]);
    assert!(config.boards[0].channels.iter().all(|channel| channel.sides == 2));
    assert_eq!(settings(&config, 0).rtp_bind_address().to_string(), "::", "both families");
    let taken = text.replace("9999", "10004");
    let wanted = "found 10004, allowed none of 10000 to 10004, the channels of kind";
    same(&taken, &errors(&taken), &[(17, 20, "[[board]] channels.id", wanted)]);
}

#[test]
fn wrong_keys_of_a_sip_board_are_refused() {
    let cases: &[(&str, &[Wanted])] = &[
        ("", &[(3, 1, "[[board]] listen", "found nothing, allowed a list of listeners")]),
        (
            "listen = [\"udp:localhost:5060\", \"sctp:127.0.0.1:5060\"]",
            &[
                (6, 11, "[[board]] listen", "found \"udp:localhost:5060\", allowed a transport"),
                (6, 33, "[[board]] listen", "found \"sctp:127.0.0.1:5060\""),
            ],
        ),
        (
            "listen = [\"udp:127.0.0.1:5060\"]\nports = \"20001-30000\"\naddress = \"0.0.0.0\"\n\
             peers = [\"10.0.0.1/8\", \"host\"]\ncodecs = [\"gsm\"]\nsrtp = \"on\"\n\
             mask_digits = true\nwhen_down = \"503\"\ncalls = 2049\nrate = 12000",
            &[
                (7, 9, "[[board]] ports", "found the first port 20001, allowed an even one"),
                (8, 11, "[[board]] address", "found \"0.0.0.0\", allowed a numeric address"),
                (9, 10, "[[board]] peers", "found \"10.0.0.1/8\", allowed a numeric address"),
                (9, 24, "[[board]] peers", "found \"host\""),
                (10, 11, "[[board]] codecs", "found \"gsm\", allowed \"pcmu\", \"pcma\""),
                (11, 8, "[[board]] srtp", "found \"on\", allowed \"off\", \"offered\""),
                (12, 15, "[[board]] mask_digits", "found true, allowed \"lead\", \"off\""),
                (13, 13, "[[board]] when_down", "found \"503\", allowed \"take\", \"refuse\""),
                (14, 9, "[[board]] calls", "found 2049, allowed 1 to 2048"),
            ],
        ),
    ];
    for (keys, wanted) in &cases[..2] {
        same(keys, &errors(&file(keys)), wanted);
    }
    let (keys, wanted) = cases[2];
    let found = errors(&file(keys));
    let alone: Vec<_> = found.iter().filter(|error| error.line <= 14).cloned().collect();
    let alone: Vec<_> =
        alone.into_iter().filter(|error| !error.text.contains("at least")).collect();
    same(keys, &alone, wanted);
    assert_eq!(found.last().map(|error| error.line), Some(15), "{}", listed(&found));
    assert!(found.last().is_some_and(|error| error.text.contains("allowed 8000 or 16000")));
}

#[test]
fn ports_must_suffice_for_the_calls() {
    let keys = "listen = [\"udp:127.0.0.1:5060\"]\nports = \"20000-20099\"\ncalls = 26";
    let wanted = "found 20000-20099, 100 ports, allowed at least 104 for calls = 26: 4 a call";
    same(keys, &errors(&file(keys)), &[(7, 9, "[[board]] ports", wanted)]);
    good(&file(&keys.replace("26", "25")));
    for bad in ["20000", "30000-20000", "80-1000", "20000-70000", "a-b"] {
        let keys = format!("listen = [\"udp:127.0.0.1:5060\"]\nports = \"{bad}\"\ncalls = 1");
        let wanted = "allowed the first and the last port, 1024 to 65535";
        same(&keys, &errors(&file(&keys)), &[(7, 9, "[[board]] ports", wanted)]);
    }
}

#[test]
fn no_address_or_port_is_used_twice() {
    let text = format!(
        "[[listen]]\naddress = \"127.0.0.1:5070\"\n{}[[board]]\nname = \"two\"\nkind = \"sip\"\n\
         ports = \"23998-25999\"\naddress = \"192.0.2.1\"\npeers = [\"192.0.2.0/24\"]\n\
         calls = 4\nlisten = [\"udp:0.0.0.0:5060\", \"tcp:127.0.0.1:5070\"]\n",
        file("listen = [\"udp:127.0.0.1:5060\", \"udp:127.0.0.1:24000\"]\n")
    );
    let wanted: &[Wanted] = &[
        (8, 33, "[[board]] listen", "found port 24000, which is one of the RTP ports 23998-25999"),
        (12, 9, "[[board]] ports", "found 23998-25999, allowed once: line 5 has some of them"),
        (16, 11, "[[board]] listen", "found udp:0.0.0.0:5060 again, allowed once: line 8 has it"),
        (16, 31, "[[board]] listen", "found tcp:127.0.0.1:5070 again, allowed once: line 2"),
    ];
    same(&text, &errors(&text), wanted);
}

#[test]
fn keys_of_one_kind_are_refused_on_another() {
    let text = file("listen = [\"udp:127.0.0.1:5060\"]\nactivity = \"voice\"\nbuffer_ms = 100\n");
    let wanted: &[Wanted] = &[
        (7, 12, "[[board]] activity", "allowed with kind = \"alsa\" or \"sim\""),
        (8, 13, "[[board]] buffer_ms", "allowed with kind = \"alsa\" or \"sim\""),
    ];
    same(&text, &errors(&text), wanted);
    let text = "[[board]]\nname = \"b\"\nkind = \"sim\"\ncalls = 5\n\
                channels = [{ id = 1, device = \"1\", source = \"a\" }]";
    same(text, &errors(text), &[(4, 9, "[[board]] calls", "allowed with kind = \"sip\"")]);
}

#[test]
fn probably_unintended_keys_of_a_sip_board_are_warnings() {
    let warnings = |keys: &str| good(&file(keys)).1;
    let wide = "listen = [\"tcp:192.0.2.1:5060\"]";
    let wanted = "found tcp:192.0.2.1:5060, but no peers: only this machine may send calls";
    same(wide, &warnings(wide), &[(6, 11, "[[board]] listen", wanted)]);
    let clear = "listen = [\"tcp:127.0.0.1:5060\"]\nsrtp = \"required\"";
    let wanted = "found no tls with srtp = \"required\"";
    same(clear, &warnings(clear), &[(6, 11, "[[board]] listen", wanted)]);
    let all = "listen = [\"tcp:[::]:5060\"]\npeers = [\"::/0\"]";
    let wanted = "found tcp:[::]:5060 without address: answers must name one address";
    same(all, &errors(&file(all)), &[(6, 11, "[[board]] listen", wanted)]);
}

#[test]
fn devices_of_a_sip_board_are_known_to_schedules_and_desks() {
    let people = "[[agent]]\nusername = \"a\"\nphones = [\"1001\"]\n[[workstation]]\n\
                  machine = \"m\"\ndevice = \"1001\"\n[[schedule]]\nname = \"s\"\n\
                  type = \"api\"\ndevices = [\"2002\"]\n";
    let keys = |devices: &str| format!("listen = [\"udp:127.0.0.1:5060\"]\n{devices}\n{people}");
    let all = keys("");
    same(&all, &good(&file(&all)).1, &[(17, 12, "[[schedule]] devices", "found \"2002\"")]);
    let named = keys("devices = [\"2002\"]");
    let wanted = (13, 10, "[[workstation]] device", "found \"1001\", which is on no channel");
    same(&named, &good(&file(&named)).1, &[wanted]);
}

#[test]
fn a_reload_applies_the_live_keys_of_a_sip_board() {
    let keys = "listen = [\"udp:127.0.0.1:5060\"]\n";
    let (running, _) = good(&file(keys));
    let (wanted, _) = good(&file(&format!(
        "{keys}peers = [\"127.0.0.0/8\"]\ndevices = [\"1\"]\nmask_digits = \"off\"\n\
         when_down = \"refuse\"\ncalls = 7\n"
    )));
    assert_eq!(changed_keys(&running, &wanted), ["board", "board.sip"]);
    let applied = keep_start_keys(&running, wanted.clone());
    assert_eq!(changed_keys(&running, &applied), ["board.sip"]);
    assert_eq!(changed_keys(&applied, &wanted), ["board"], "the calls wait for a start");
    let sip = settings(&applied, 0);
    assert_eq!((sip.calls, sip.when_down), (500, WhenDown::Refuse));
    assert!(!applied.boards[0].mask_digits);
    assert_eq!(sip.devices, ["1"]);
}
