//! Invalid files, each with the exact errors that must be reported.

use super::{Wanted, errors, good, same};

/// A file and its errors.
type Case = (&'static str, &'static [Wanted]);

#[track_caller]
fn run(cases: &[Case]) {
    for (text, wanted) in cases {
        same(text, &errors(text), wanted);
    }
}

#[test]
fn several_errors_are_reported_in_order() {
    run(&[(
        "[audio]\nholdbak_ms = 3000\ncodec = \"mp3\"\nbitrate = \"16000\"\npreroll_ms = 4000\n\
         [blackout]\nlead_ms = 3001\n[[agent]]\nusername = \"jdoe\"\nroles = [\"agnet\"]\n\
         [[role]]\nname = \"agent\"\npermissions = [\"blackot\", \"update.16\"]\n[adio]\n",
        &[
            (
                2,
                1,
                "[audio] holdbak_ms",
                "unknown key (did you mean holdback_ms?), allowed bitrate",
            ),
            (3, 9, "[audio] codec", "found \"mp3\", allowed \"opus\", \"ulaw\", \"pcm\""),
            (4, 11, "[audio] bitrate", "found \"16000\", allowed a whole number, 6000 to 128000"),
            (5, 14, "[audio] preroll_ms", "found 4000, allowed 0 to 3000, the holdback_ms"),
            (7, 11, "[blackout] lead_ms", "found 3001, allowed 0 to 3000, the holdback_ms"),
            (10, 10, "[[agent]] roles", "\"agnet\" (did you mean agent?), allowed \"agent\""),
            (13, 16, "[[role]] permissions", "(did you mean blackout?), allowed record.start,"),
            (13, 27, "[[role]] permissions", "found \"update.16\""),
            (14, 2, "adio", "unknown key (did you mean audio?), allowed agent, audio, blackout,"),
        ],
    )]);
}

#[test]
fn names_with_characters_that_cannot_be_seen_are_refused_everywhere() {
    let file = "[local]\nportal_user = \"BAD\"\ncti_user = \"BAD\"\ntechnician_group = \"BAD\"\n\
        [[board]]\nname = \"BAD\"\nkind = \"sim\"\nrate = 8000\nbuffer_ms = 200\n\
        activity = \"cti\"\n\
        channels = [{ id = 1, device = \"BAD\", sides = \"mono\", source = \"x.wav\" }]\n\
        [[role]]\nname = \"BAD\"\npermissions = [\"blackout\"]\n\
        [[agent]]\nusername = \"BAD\"\nname = \"BAD\"\ndomain = \"BAD\"\nphones = [\"BAD\"]\n\
        workstations = [\"BAD\"]\nroles = [\"BAD\"]\n\
        [[workstation]]\nmachine = \"BAD\"\ndevice = \"BAD\"\n\
        [[schedule]]\nname = \"BAD\"\ntype = \"on-demand\"\nusers = [\"BAD\"]\n\
        devices = [\"BAD\"]\n[fields]\n1 = \"BAD\"\n";
    let names = file.matches("BAD").count();
    for bad in ["a\u{200b}b", "\u{202e}ssob", "a\u{ad}b", "a\u{2066}b", "a\u{fe0f}"] {
        let errors = errors(&file.replace("BAD", bad));
        let shown = format!("\\u{{{:x}}}", u32::from(bad.chars().find(|c| !c.is_ascii()).unwrap()));
        let about: Vec<_> = errors.iter().filter(|e| e.text.contains("cannot be seen")).collect();
        assert_eq!(about.len(), names, "{bad:?}: {errors:?}");
        assert!(about.iter().all(|error| error.text.contains(&shown)), "{shown}: {about:?}");
    }
    let errors = errors(&file.replace("BAD", "Jörg-יוסף-山田"));
    assert!(!errors.iter().any(|error| error.text.contains("cannot be seen")), "{errors:?}");
}

#[test]
fn numbers_outside_bounds_are_refused() {
    run(&[
        ("audio.holdback_ms = 199", &[(1, 21, "[audio] holdback_ms", "found 199, allowed 200 to")]),
        ("audio.wrapup_s = 3601", &[(1, 18, "[audio] wrapup_s", "allowed 0 to 3600")]),
        ("audio.wrapup_s = -1", &[(1, 18, "[audio] wrapup_s", "found -1, allowed 0 to 3600")]),
        ("audio.wrapup_s = 0x10000", &[(1, 18, "[audio] wrapup_s", "found 0x10000, allowed")]),
        ("audio.wrapup_s = 1.5", &[(1, 18, "[audio] wrapup_s", "found 1.5, allowed a whole")]),
        ("audio.stale_call_s = 59", &[(1, 22, "[audio] stale_call_s", "allowed 60 to 86400")]),
        ("audio.max_call_s = 604801", &[(1, 20, "[audio] max_call_s", "allowed 0 to 604800")]),
        ("blackout.max_s = 0", &[(1, 18, "[blackout] max_s", "found 0, allowed 1 to 86400")]),
        ("audio.recall = \"5h\"", &[(1, 16, "[audio] recall", "found \"5h\", allowed \"off\" or")]),
        ("audio.recall = \"90\"", &[(1, 16, "[audio] recall", "found \"90\"")]),
        ("audio.recall = true", &[(1, 16, "[audio] recall", "found true")]),
        ("audio.recall = \"1500ms\"", &[(1, 16, "[audio] recall", "found \"1500ms\"")]),
        (
            "audio.bitrate = 99999999999999999999999999999999999999999999999999",
            &[(1, 17, "[audio] bitrate", "allowed 6000 to 128000")],
        ),
        (
            "box.name = \"my box\"",
            &[(1, 12, "[box] name", "found \"my box\", allowed a text of 1")],
        ),
        ("box.data = \"\"", &[(1, 12, "[box] data", "found \"\", allowed a path")]),
        ("box = 3", &[(1, 7, "box", "found 3, allowed a table")]),
        ("board = 3", &[(1, 9, "board", "found 3, allowed a list of tables, [[board]]")]),
        ("fields.16 = \"x\"", &[(1, 8, "[fields] 16", "found an unknown key")]),
        ("fields.1 = \"\"", &[(1, 12, "[fields] 1", "found \"\"")]),
        ("screen.scale = 101", &[(1, 16, "[screen] scale", "allowed 10 to 100")]),
        ("limits.sessions = 0", &[(1, 19, "[limits] sessions", "found 0, allowed 1 to 10000")]),
        (
            "limits = { sessions = 5, sessions_per_address = 6 }",
            &[(1, 49, "[limits] sessions_per_address", "found 6, allowed 1 to 5, the sessions")],
        ),
        ("on_demand.enabled = \"yes\"", &[(1, 21, "[on_demand] enabled", "allowed true or false")]),
        ("store.recipients = [\"age1x\"]", &[(1, 21, "[store] recipients", "public keys")]),
        ("store.recipients = [\"age2x\"]", &[(1, 21, "[store] recipients", "public keys, age1…")]),
        (
            "local.kinds = [\"agents\"]",
            &[(1, 16, "[local] kinds", "found \"agents\", allowed agent,")],
        ),
    ]);
}

#[test]
fn listeners_with_conflicting_keys_are_refused() {
    run(&[
        (
            "[[listen]]\naddress = \"0.0.0.0:7440\"",
            &[(2, 11, "[[listen]] address", "in plain text, allowed a loopback address, tls")],
        ),
        (
            "[[listen]]\naddress = \"localhost:7440\"",
            &[(2, 11, "[[listen]] address", "found \"localhost:7440\", allowed a numeric")],
        ),
        ("[[listen]]", &[(1, 1, "[[listen]] address", "found nothing, allowed one of")]),
        (
            "[[listen]]\nunix = \"s\"\naddress = \"127.0.0.1:1\"",
            &[(1, 1, "[[listen]] address", "found several")],
        ),
        ("[[listen]]\nserial = \"/dev/x\"", &[(1, 1, "[[listen]] baud", "allowed 1200, 2400")]),
        (
            "[[listen]]\nserial = \"/dev/x\"\nbaud = 115201\ntls = true",
            &[
                (3, 8, "[[listen]] baud", "found 115201"),
                (4, 7, "[[listen]] tls", "found it without address"),
            ],
        ),
        (
            "[[listen]]\nserial = \"/dev/x\"\nbaud = 9600\nidle_s = 9",
            &[(4, 10, "[[listen]] idle_s", "found 9, allowed 10 to 3600")],
        ),
        (
            "[[listen]]\nunix = \"s\"\nidle_s = 90",
            &[(3, 10, "[[listen]] idle_s", "found it without serial")],
        ),
        (
            "[[listen]]\nunix = \"s\"\n[[listen]]\nunix = \"s\"",
            &[(4, 8, "[[listen]]", "found \"s\" again, allowed once: line 2 has \"s\"")],
        ),
        (
            "[[listen]]\naddress = \"10.0.0.1:1\"\ntls = true\ninsecure = true",
            &[(4, 12, "[[listen]] insecure", "allowed one of them")],
        ),
    ]);
    good("[[listen]]\naddress = \"10.0.0.1:1\"\ninsecure = true");
    good("[[listen]]\naddress = \"[::ffff:127.0.0.1]:1\"");
    good("[[listen]]\naddress = \"[::1]:0\"\n[[listen]]\naddress = \"[::1]:0\"");
}

#[test]
fn boards_take_only_keys_of_their_kind() {
    run(&[
        (
            "[[board]]\n",
            &[
                (1, 1, "[[board]] name", "found nothing"),
                (1, 1, "[[board]] kind", "found nothing, allowed \"alsa\", \"sim\""),
                (1, 1, "[[board]] channels", "found nothing"),
            ],
        ),
        (
            "[[board]]\nname = \"b\"\nkind = \"sim\"\npcm = \"hw:0\"\nperiod_ms = 20\n\
             channels = [{ id = 1, device = \"1\", slots = [0] }]",
            &[
                (4, 7, "[[board]] pcm", "allowed with kind = \"alsa\""),
                (5, 13, "[[board]] period_ms", "allowed with kind = \"alsa\""),
                (6, 13, "[[board]] channels.source", "found nothing"),
                (6, 45, "[[board]] channels.slots", "allowed with kind = \"alsa\""),
            ],
        ),
        (
            "[[board]]\nname = \"b\"\nkind = \"alsa\"\nperiod_ms = 50\nbuffer_ms = 90\n\
             channels = [\n\
             { id = 1, device = \"1\", source = \"a\" },\n\
             { id = 1, device = \"1\", sides = \"mono\", slots = [0, 1] },\n\
             { id = 70000, device = \"3\", slots = [4, 5, 6] },\n{ id = 3 } ]",
            &[
                (1, 1, "[[board]] pcm", "found nothing, allowed an ALSA PCM"),
                (4, 13, "[[board]] period_ms", "found 50, allowed 5 to 45, half the buffer_ms"),
                (7, 1, "[[board]] channels.slots", "found nothing"),
                (7, 34, "[[board]] channels.source", "allowed with kind = \"sim\""),
                (8, 8, "[[board]] channels.id", "found \"1\" again, allowed once: line 7 has it"),
                (8, 20, "[[board]] channels.device", "found \"1\" again"),
                (8, 49, "[[board]] channels.slots", "found 2 slots, allowed 1, for sides is mono"),
                (9, 8, "[[board]] channels.id", "found 70000, allowed 0 to 65535"),
                (9, 37, "[[board]] channels.slots", "found 3 slots, allowed 1 or 2"),
                (10, 1, "[[board]] channels.device", "found nothing"),
                (10, 1, "[[board]] channels.slots", "found nothing"),
            ],
        ),
        (
            "[[board]]\nname = \"b\"\nkind = \"sim\"\nrate = 44100\nactivity = \"script\"\n\
             channels = [{ id = 1, device = \"1\", source = \"a\", script = \"call 5s\" }]",
            &[
                (4, 8, "[[board]] rate", "found 44100, allowed 8000, 12000, 16000, 24000, 48000"),
                (6, 60, "[[board]] channels.script", "found step 1 \"call 5s\", allowed \"idle"),
            ],
        ),
    ]);
    let many: String =
        (0..2048).map(|n| format!("{{ id = {n}, device = \"{n}\", source = \"a\" }},")).collect();
    let text = format!(
        "[[board]]\nname = \"b\"\nkind = \"sim\"\nchannels = [{many}]\n[[board]]\nname = \"c\"\n\
         kind = \"sim\"\nchannels = [{{ device = \"x\", id = 9999, source = \"a\" }}]"
    );
    let wanted = (8, 24, "[[board]] channels", "found 2049 on all boards together, allowed 2048");
    same("2049 channels", &errors(&text), &[wanted]);
}

#[test]
fn lists_beyond_their_bound_are_refused() {
    let rows = |count: usize| "[[technician]]\n".repeat(count);
    let found = errors(&rows(101));
    let (crowded, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|error| error.key == "technician");
    same("101", &crowded, &[(101, 1, "technician", "101 entries, allowed at most 100")]);
    assert!(others.iter().all(|error| error.line <= 100), "the one beyond is not read");
    assert!(errors(&rows(100)).iter().all(|error| error.key != "technician"));
}

#[test]
fn agents_and_roles_must_match() {
    run(&[
        (
            "[[agent]]\nusername = \"ACME\\\\jdoe\"\n[[agent]]\nusername = \"j@acme\"\n[[agent]]\n",
            &[
                (2, 12, "[[agent]] username", "not fully qualified"),
                (4, 12, "[[agent]] username", "not fully qualified"),
                (5, 1, "[[agent]] username", "found nothing"),
            ],
        ),
        (
            "[[agent]]\nusername = \"a\"\nphones = [\"1\", \"2\"]\n\
             [[agent]]\nusername = \"b\"\nphones = [\n\"3\",\n\"2\"]\n",
            &[(
                8,
                1,
                "[[agent]] phones",
                "found \"2\" on line 8 and on line 3 (a), allowed for one",
            )],
        ),
        (
            "[[agent]]\nusername = \"a\"\nphones = [1001]\nroles = [\"x\"]",
            &[
                (3, 11, "[[agent]] phones", "found 1001, allowed a text of 1 to 32 bytes"),
                (4, 10, "[[agent]] roles", "found \"x\", but there is no [[role]]"),
            ],
        ),
        (
            "[[role]]\nname = \"a\"\n[[role]]\nname = \"a\"\npermissions = [\"Play\"]\n",
            &[
                (1, 1, "[[role]] permissions", "found nothing"),
                (4, 8, "[[role]] name", "found \"a\" again, allowed once: line 2 has it"),
                (5, 16, "[[role]] permissions", "found \"Play\" (did you mean play?)"),
            ],
        ),
        (
            "[[workstation]]\nmachine = \"WS\"\ndevice = \"1\"\n\
             [[workstation]]\nmachine = \"ws\"\n",
            &[
                (4, 1, "[[workstation]] device", "found nothing"),
                (5, 11, "[[workstation]] machine", "found \"ws\" again"),
            ],
        ),
    ]);
}

#[test]
fn schedules_and_blackout_rules_must_be_sound() {
    run(&[
        (
            "[[technician]]\nname = \"t\"\npin = \"$2b$10$abc\"\n[[technician]]\nname = \"u\"\n",
            &[
                (3, 7, "[[technician]] pin", "allowed an argon2id hash"),
                (4, 1, "[[technician]] pin", "found nothing"),
            ],
        ),
        (
            "[[schedule]]\nname = \"s\"\ntype = \"full\"\npercent = 101\nretention_days = 0\n\
             from = 2026-01-01\nuntil = \"soon\"\ndirections = [\"inn\"]\n\
             [[schedule]]\nname = \"t\"\n\
             type = \"api\"\nfrom = 2026-01-02T00:00:00Z\nuntil = 2026-01-01T00:00:00Z",
            &[
                (3, 8, "[[schedule]] type", "allowed \"on-demand\", \"percentage\", \"api\""),
                (4, 11, "[[schedule]] percent", "found 101, allowed 0 to 100"),
                (5, 18, "[[schedule]] retention_days", "found 0"),
                (6, 8, "[[schedule]] from", "found 2026-01-01, allowed RFC 3339"),
                (7, 9, "[[schedule]] until", "found \"soon\""),
                (8, 15, "[[schedule]] directions", "found \"inn\", allowed \"in\", \"out\""),
                (13, 9, "[[schedule]] until", "allowed after from"),
            ],
        ),
    ]);
}

/// A hash that would eat the box's memory at every log-in is none of ours.
#[test]
fn pin_hash_with_excessive_cost_is_refused() {
    let salt = "BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU";
    let file = |kind: &str, cost: &str| {
        format!("[[technician]]\nname = \"t\"\npin = \"${kind}$v=19${cost}${salt}\"\n")
    };
    good(&file("argon2id", "m=262144,t=16,p=16"));
    for (kind, cost) in [
        ("argon2id", "m=262145,t=2,p=1"),
        ("argon2id", "m=19456,t=17,p=1"),
        ("argon2id", "m=19456,t=2,p=17"),
        ("argon2i", "m=19456,t=2,p=1"),
    ] {
        let text = file(kind, cost);
        same(&text, &errors(&text), &[(3, 7, "[[technician]] pin", "argon2id hash")]);
    }
}

#[test]
fn syntax_errors_hide_only_dependent_errors() {
    run(&[
        ("[audio\nholdback_ms = 5\n", &[(1, 7, "", "unclosed table, expected `]`")]),
        (
            "[audio]\ncodec = opus\nbitrate = 5\nzzz = 1\ncodec = \"pcm\"\n[audio]\nwrapup_s = x\n",
            &[
                (2, 9, "", "string values must be quoted"),
                (3, 11, "[audio] bitrate", "found 5, allowed 6000"),
                (5, 1, "", "duplicate key"),
                (6, 2, "", "duplicate key"),
                (7, 12, "", "string values must be quoted"),
            ],
        ),
    ]);
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(!errors(&deep).is_empty(), "depth is limited");
    let long = "#".repeat((4 << 20) + 1);
    same("4 MiB and a byte", &errors(&long), &[(1, 1, "", "found 4194305 bytes, allowed")]);
}

#[test]
fn warnings_keep_the_config_valid() {
    let text = "[[listen]]\nunix = \"s\"\n[on_demand]\nenabled = true\n\
                [[agent]]\nusername = \"jdoe\"\nname = \"Jane\"\ndomain = \"A\"\n\
                [[agent]]\nusername = \"JDoe\"\nname = \"John\"\ndomain = \"B\"\n\
                [[workstation]]\nmachine = \"WS\"\ndevice = \"9\"\n\
                [[schedule]]\nname = \"s\"\ntype = \"api\"\nusers = [\"jdoe\", \"x\"]\n\
                devices = [\"8\"]\n\
                [local]\nkinds = [\"cti\", \"cti\"]\n";
    let (config, warnings) = good(text);
    same(
        text,
        &warnings,
        &[
            (4, 11, "[on_demand] enabled", "no [[schedule]] is of type on-demand"),
            (10, 12, "[[agent]] username", "line 6 (Jane), line 10 (John); allowed once"),
            (15, 10, "[[workstation]] device", "found \"9\", which is on no channel"),
            (19, 18, "[[schedule]] users", "found \"x\", which is no agent's username"),
            (20, 12, "[[schedule]] devices", "found \"8\", on no channel"),
            (22, 17, "[local] kinds", "found \"cti\" twice"),
        ],
    );
    assert_eq!((config.agents[0].line, config.agents[1].line), (6, 10), "D2");
    assert_eq!(config.local.kinds, ["cti"]);
}

#[test]
fn boards_may_carry_warnings() {
    let text = "[[listen]]\nunix = \"s\"\n[audio]\nholdback_ms = 60000\n[[board]]\nname = \"b\"\n\
                kind = \"alsa\"\npcm = \"hw:0\"\nrate = 48000\nchannels = [\n\
                { id = 1, device = \"1\", slots = [0] },\n\
                { id = 2, device = \"2\", slots = [0] } ]\n";
    let (_, warnings) = good(text);
    let twice = (12, 34, "[[board]] channels.slots", "found 0 again, line 11 has it");
    same(text, &warnings, &[twice]);
    // 100 sides × 2 bytes × 48000 × (60 s + 3 s) = 576 MiB of rings.
    let rows: String = (0..50)
        .map(|n| format!("{{ id = {n}, device = \"{n}\", sides = \"stereo\", source = \"a\" }},"))
        .collect();
    let text = format!(
        "[[listen]]\nunix = \"s\"\n[audio]\nholdback_ms = 60000\n[[board]]\nname = \"b\"\n\
         kind = \"sim\"\nrate = 48000\nchannels = [{rows}]"
    );
    let (_, warnings) = good(&text);
    same("50 channels", &warnings, &[(6, 8, "[[board]] channels", "rings of 576 MiB in all")]);
    // No machine has room for 8 boards like this one.
    let boards: String = (0..8_u32)
        .map(|board| {
            let row = |n: u32| {
                let id = board * 32 + n;
                format!("{{ id = {id}, device = \"{id}\", sides = \"stereo\", source = \"a\" }},")
            };
            let rows: String = (0..32).map(row).collect();
            format!(
                "[[board]]\nname = \"b{board}\"\nkind = \"sim\"\nrate = 96000\n\
                 channels = [{rows}]\n"
            )
        })
        .collect();
    let text = format!("[audio]\ncodec = \"pcm\"\nholdback_ms = 60000\n{boards}");
    let found = errors(&text);
    assert!(found[0].text.contains("rings of 5906 MiB in all"), "{found:?}");
    assert!(found[0].text.contains("allowed 4096 MiB"), "{found:?}");
}

/// The system opens one listener a port: an address for all covers the others.
#[test]
fn h2_listener_that_covers_another_is_refused() {
    let two = |one: &str, other: &str| {
        errors(&format!(
            "[[listen]]\naddress = \"{one}\"\ntls = true\n\
             [[listen]]\naddress = \"{other}\"\ntls = true"
        ))
    };
    for (one, other) in [
        ("127.0.0.1:7440", "127.0.0.1:7440"),
        ("0.0.0.0:7440", "127.0.0.1:7440"),
        ("10.0.0.1:7440", "0.0.0.0:7440"),
        ("[::]:7440", "127.0.0.1:7440"),
        ("[::]:7440", "0.0.0.0:7440"),
        ("[::1]:7440", "[::]:7440"),
        ("[::ffff:10.0.0.1]:7440", "10.0.0.1:7440"),
        ("[::1]:7440", "[0:0:0:0:0:0:0:1]:7440"),
    ] {
        let found = two(one, other);
        assert_eq!(found.len(), 1, "{one} {other}: {found:?}");
        assert_eq!((found[0].line, found[0].key.as_str()), (5, "[[listen]]"));
        assert!(found[0].text.contains("again, allowed once: line 2 has"), "{found:?}");
    }
    for (one, other) in [
        ("127.0.0.1:7440", "127.0.0.1:7441"),
        ("127.0.0.1:7440", "127.0.0.2:7440"),
        ("0.0.0.0:7440", "[::1]:7440"),
        ("0.0.0.0:0", "0.0.0.0:0"),
    ] {
        assert_eq!(two(one, other), [], "{one} {other}");
    }
    let paths = "[[listen]]\nunix = \"run/./s\"\n[[listen]]\nserial = \"run//s\"\nbaud = 9600";
    assert_eq!(errors(paths).len(), 1, "one path in two spellings");
}

#[test]
fn d3_supervisor_role_without_rights_for_others_is_warned_of() {
    let text = "[[listen]]\nunix = \"s\"\n[[role]]\nname = \"boss\"\n\
                permissions = [\"records.own\"]\n\
                [[role]]\nname = \"agent\"\npermissions = [\"blackout\", \"password\"]\n";
    let (_, warnings) = good(text);
    let wanted = "found \"boss\" without record.others and blackout.others";
    same(text, &warnings, &[(4, 8, "[[role]] permissions", wanted)]);
    for knows in ["record.others", "blackout.others"] {
        for before in ["records.own\"", "password\""] {
            let text = text.replace(before, &format!("{before}, \"{knows}\""));
            assert_eq!(good(&text).1, [], "{text}");
        }
    }
}
