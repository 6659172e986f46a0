//! The tool after the readers of its output have gone, as in `hushbox records 2>&1 | head`: it does
//! its work, and neither panics nor reports another result.

use crate::commands::scripted_box;
use hushbox::audio::span::Fate;
use hushbox::config::CodecKind;
use hushbox::store::layout;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::ProgramOutput;
use testkit::store_fixture::{RecordingPlan, StoreFixture, run};

/// A pipe that was closed at its other end.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Runs the tool with these for stdout and stderr, and something on stdin.
fn tool(folder: &Path, words: &[&str], [out, err]: [Stdio; 2], stdin: &str) -> ProgramOutput {
    let mut command = Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.args(words).current_dir(folder).stdin(Stdio::piped()).stdout(out).stderr(err);
    let mut child = command.spawn().unwrap();
    // It may have ended without reading.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// A store with one recording, whose manifests cannot be signed.
fn store() -> (StoreFixture, String) {
    let mut made = StoreFixture::new();
    let runs = vec![run(Fate::Stored, 8000)];
    let codec = CodecKind::Pcm;
    let plan = RecordingPlan { n: 7, codec, sides: 1, sealed: true, runs, ended: true };
    let taken = made.record(&plan);
    made.save();
    std::fs::remove_file(made.path(layout::BOX_KEY)).unwrap();
    (made, taken.id)
}

#[test]
fn records_ends_without_a_panic_when_stdout_and_stderr_are_closed() {
    let (made, _) = store();
    let folder = made.folder.path();
    let said = tool(folder, &["records"], [closed_pipe(), Stdio::piped()], "");
    assert_eq!((said.status(), said.err.as_str()), (0, ""));
    for words in [&["records"][..], &["records", "--json"], &["records", "--call", "x"]] {
        let said = tool(folder, words, [closed_pipe(), closed_pipe()], "");
        assert_eq!(said.status(), 0, "{words:?}");
    }
}

#[test]
fn closed_stderr_changes_no_result() {
    let (made, id) = store();
    let folder = made.folder.path();
    for words in [
        &["records", "--call", "x"][..],
        &["show", "zzzz"],
        &["export", &id, "--force", "--to", "x.wav"],
        &["keygen"],
        &["verify"],
        &["no-such-command"],
    ] {
        let open = tool(folder, words, [Stdio::piped(), Stdio::piped()], "");
        let closed = tool(folder, words, [Stdio::piped(), closed_pipe()], "");
        assert_ne!(open.err, "", "{words:?}: it has something to say");
        assert_eq!(closed.status(), open.status(), "{words:?}: {}", open.err);
        assert_eq!(closed.out.len(), open.out.len(), "{words:?}: {}", closed.out);
    }
    assert!(folder.join("x.wav").exists());
}

#[test]
fn closed_stderr_neither_ends_a_console_nor_hides_a_refusal() {
    let answers: &[&[&str]] = &[&["ok session=2\n", "row alarm=1\nok\n", "ok\n"]];
    let (address, server) = scripted_box(answers);
    let folder = tempfile::tempdir().unwrap();
    let (words, typed) = (["console", "--to", &address], "field\n4711\nalarms\nexit\n");
    let said = tool(folder.path(), &words, [Stdio::piped(), closed_pipe()], typed);
    assert_eq!((said.out.as_str(), said.status()), ("ok session=2\nrow alarm=1\nok\nok\n", 0));
    assert_eq!(server.join().unwrap()[1..], ["alarms", "quit"]);
    let refused: &[&[&str]] = &[&["err no-record \"there is none\"\n"]];
    let (address, server) = scripted_box(refused);
    let words = ["send", "--raw", "--to", &address, "get abcd"];
    let said = tool(folder.path(), &words, [Stdio::piped(), closed_pipe()], "");
    assert_eq!((said.out.as_str(), said.status()), ("", 1));
    server.join().unwrap();
}
