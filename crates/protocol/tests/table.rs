//! The command table is consistent, and the manual matches it.

#![allow(clippy::expect_used)]

use protocol::{Command, Kind, Line, reply, table};

#[test]
fn table_is_sorted_and_complete() {
    let place = |entry: &table::Entry| (entry.verb, entry.by);
    for two in table::TABLE.windows(2) {
        assert!(place(&two[0]) < place(&two[1]), "{} after {}", two[1].verb, two[0].verb);
    }
    for entry in table::TABLE {
        let verb = entry.verb;
        assert!((1..=2).contains(&verb.split(' ').count()), "{verb}");
        assert!(verb.bytes().all(|b| b.is_ascii_lowercase() || b == b' '), "{verb}");
        assert!(!entry.help.is_empty() && !entry.help.ends_with('.'), "{verb}: {}", entry.help);
        assert!(!entry.access.is_empty() || entry.before_hello, "{verb} is for no session");
        for (index, arg) in entry.args.iter().enumerate() {
            let others = &entry.args[..index];
            assert!(others.iter().all(|other| other.name != arg.name), "{verb} {}", arg.name);
            let after_optional = others.iter().any(|other| !other.keyed && !other.required);
            assert!(
                arg.keyed || !arg.required || !after_optional,
                "{verb}: {} follows an optional word",
                arg.name
            );
        }
        if let Some(key) = entry.by {
            let keyed = |arg: &&protocol::arg::Arg| arg.keyed && arg.required && arg.name == key;
            assert_eq!(entry.args.iter().filter(keyed).count(), 1, "{verb} by {key}");
        }
    }
}

#[test]
fn table_offers_each_kind_one_form_of_a_verb() {
    for kind in Kind::ALL {
        let verbs: Vec<&str> =
            table::TABLE.iter().filter(|e| e.is_for(Some(kind))).map(|e| e.verb).collect();
        assert!(verbs.windows(2).all(|two| two[0] != two[1]), "{kind}: {verbs:?}");
    }
}

fn help_rows(kind: Option<Kind>, verb: Option<&str>) -> Vec<String> {
    let mut out = Vec::new();
    table::write_help(kind, verb, &mut out).expect("help");
    let text = String::from_utf8(out).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn help_lists_commands_of_the_session_kind() {
    let usages = |kind| -> Vec<String> {
        let rows = help_rows(kind, None);
        rows.iter()
            .map(|row| Line::parse(row).expect(row).get("usage").expect(row).to_owned())
            .collect()
    };
    assert_eq!(
        usages(None),
        [
            "enrol code=CODE",
            "hello KIND [user=NAME] [domain=NAME] [machine=NAME] [client=NAME] [pin=PIN] \
             [via=portal]",
            "help [VERB] [VERB2]",
            "ping",
            "quit",
        ]
    );
    let agent = usages(Some(Kind::Agent));
    assert!(agent.contains(&"record start [call=ID]".to_owned()));
    assert!(agent.contains(&"update N \"VALUE\" [call=ID] [call_number=NUMBER]".to_owned()));
    assert!(!agent.contains(&"record start device=D".to_owned()));
    assert!(usages(Some(Kind::Cti)).contains(&"record start device=D".to_owned()));
}

#[test]
fn help_of_a_verb_lists_all_forms() {
    assert_eq!(help_rows(None, Some("record")).len(), 4);
    assert_eq!(help_rows(None, Some("record start")).len(), 2);
    assert_eq!(help_rows(None, Some("records")).len(), 1);
    let mut out = Vec::new();
    let refusal =
        table::write_help(None, Some("recrod start"), &mut out).expect_err("no such verb");
    assert_eq!((refusal.code, out.len()), (protocol::Code::BadArgument, 0));
    assert!(refusal.text.contains("record start"), "{refusal}");
    assert!(table::write_help(None, Some("RECORD START"), &mut out).is_err());
}

#[test]
fn help_rows_fit_a_line() {
    for entry in table::TABLE {
        for row in help_rows(None, Some(entry.verb)) {
            let line = Line::parse(&row).expect(&row);
            let complete = table::TABLE.iter().any(|e| {
                line.get("usage") == Some(&e.usage().to_string())
                    && line.get("reply") == Some(e.reply)
                    && line.get("help") == Some(e.help)
                    && line.get("who") == Some(&e.kind_words())
            });
            assert!(complete, "{row}");
        }
    }
}

const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");

/// The commands in `docs/protocol.md` stand between these two lines.
const BEGIN: &str = "<!-- commands: made from the table; BLESS=1 cargo test -p protocol -->\n";
const END: &str = "<!-- end of commands -->\n";

#[test]
fn manual_lists_every_command_of_the_table() {
    let manual = std::fs::read_to_string(MANUAL).expect("docs/protocol.md");
    let (before, rest) = manual.split_once(BEGIN).expect("the first marker");
    let (_, after) = rest.split_once(END).expect("the second marker");
    let fresh = format!("{before}{BEGIN}\n{}{END}{after}", table::format_markdown());
    if std::env::var_os("BLESS").is_some() {
        // Replaced atomically, because other tests read the manual at the same time.
        let draft = format!("{MANUAL}.new");
        std::fs::write(&draft, &fresh).expect("the manual is written");
        std::fs::rename(&draft, MANUAL).expect("the manual is replaced");
    } else {
        assert!(manual == fresh, "docs/protocol.md is out of date; BLESS=1 cargo test -p protocol");
    }
    for code in protocol::Code::ALL {
        assert!(
            before.contains(&format!("`{code}`")) || after.contains(&format!("`{code}`")),
            "{code}"
        );
    }
}

/// The kind of session of a speaker in a transcript.
fn speaker_kind(speaker: &str) -> Option<Kind> {
    match speaker {
        "pbx" => Some(Kind::Cti),
        "technician" => Some(Kind::Technician),
        "station" => None,
        "" | "agent" => Some(Kind::Agent),
        other => panic!("unknown speaker {other}"),
    }
}

/// Every command in a transcript of the manual parses. A refusal that depends only on the line has
/// the text that the manual shows.
#[test]
fn manual_transcripts_parse() {
    let manual = std::fs::read_to_string(MANUAL).expect("docs/protocol.md");
    let mut refused: Option<String> = None;
    let (mut commands, mut refusals) = (0, 0);
    for text in manual.split("```").skip(1).step_by(2).flat_map(str::lines) {
        let marked = |text: &str| text.starts_with("> ") || text.starts_with("< ");
        let (speaker, rest) = match text.split_once(' ') {
            _ if marked(text) => ("", text),
            Some((speaker, rest)) => (speaker, rest.trim_start()),
            None => continue,
        };
        assert!(marked(rest), "{text}: neither side sends this");
        let (sent, said) = (rest.starts_with('>'), &rest[2..]);
        if said.starts_with('(') {
            continue;
        }
        Line::parse(said).expect(said);
        assert!(said.len() < 1024, "{said}");
        let is_hello = said.starts_with("hello ");
        if !sent {
            let wrong = refused.take().is_some_and(|refusal| refusal != said);
            assert!(!wrong, "{said} is not the answer");
        } else if !said.starts_with("data ") {
            commands += 1;
            let kind = speaker_kind(speaker).filter(|_| !is_hello);
            if let Err(refusal) = Command::parse_for(said, kind) {
                let mut out = Vec::new();
                reply::begin_err(&mut out, &refusal).end();
                refused = Some(String::from_utf8(out).expect("UTF-8").trim().to_owned());
                refusals += 1;
            }
        }
    }
    assert_eq!((commands, refusals), (17, 2));
}
