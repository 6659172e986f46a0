//! `hushbox verify-report`, and the pages of signed self-test reports.
//!
//! A report is plain text: a readable page, followed by the rows that the recorder sent. The last
//! row signs all rows before it. The page is generated from the rows, so verification regenerates
//! it and detects any changed byte. The signing key stays on the recorder.

use crate::Outcome;
use crate::cli::VerifyReportArgs;
use crate::error::Error;
use crate::output::reply_format;
use crate::output::table::{Table, wrap_text};
use crate::store::store_dir::StoreDir;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hushbox::store::sign::{BoxPublicKey, SignaturePurpose};
use protocol::client::{Pairs, Reply};
use protocol::{Line, Word};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Maximum width of the page.
const COLUMNS: usize = 80;
const SIGNED_HEADING: &str =
    "Signed rows, from which all above follows (check: hushbox verify-report)";

/// Formats the page of a completed self-test.
pub fn format_passed_page(reply: &Reply) -> Option<String> {
    reply.outcome.is_ok().then(|| format_page(&reply.rows, &format_verdict(&reply.rows)))
}

fn value_of<'a>(row: &'a Pairs, key: &str) -> &'a str {
    row.get(key).unwrap_or("-")
}

fn rows_of_test<'a>(rows: &'a [Pairs], test: &str) -> impl Iterator<Item = &'a Pairs> {
    let wanted = test.to_owned();
    rows.iter().filter(move |row| value_of(row, "test") == wanted)
}

/// Formats the whole report file.
pub fn format_report(rows: &[Pairs], verdict: &str) -> String {
    let signed: String = rows.iter().map(|row| reply_format::format_line("row", row)).collect();
    format!("{}\n{SIGNED_HEADING}\n\n{signed}", format_page(rows, verdict))
}

fn count_results(rows: &[Pairs], result: &str) -> usize {
    rows.iter().filter(|row| value_of(row, "result") == result).count()
}

/// The tests that were not done, such as `blackout` or `channel 3`.
fn skipped_tests(rows: &[Pairs]) -> Vec<String> {
    let skipped = rows.iter().filter(|row| value_of(row, "result") == "skip");
    let name = |row: &Pairs| match row.get("channel") {
        Some(channel) => format!("{} {channel}", value_of(row, "test")),
        None => value_of(row, "test").to_owned(),
    };
    skipped.map(name).collect()
}

/// Formats the result. A test that was skipped must not look as if it had passed.
pub fn format_verdict(rows: &[Pairs]) -> String {
    let (passed, failed) = (count_results(rows, "pass"), count_results(rows, "fail"));
    let skipped = skipped_tests(rows);
    let not_tested = format!("NOT TESTED: {}", skipped.join(", "));
    match (failed, skipped.is_empty()) {
        (0, true) => format!("PASSED: {passed} passed, 0 failed"),
        (0, false) => format!("passed, but {not_tested} ({passed} passed)"),
        (_, true) => format!("FAILED: {passed} passed, {failed} failed"),
        (_, false) => format!("FAILED: {passed} passed, {failed} failed; {not_tested}"),
    }
}

/// The result as version 0.1 wrote it, so that its reports still verify.
fn format_old_verdict(rows: &[Pairs]) -> String {
    let (passed, failed) = (count_results(rows, "pass"), count_results(rows, "fail"));
    let verdict = if failed == 0 { "PASSED" } else { "FAILED" };
    let not_tried = match count_results(rows, "skip") {
        0 => String::new(),
        count => format!(", {count} could not be tried"),
    };
    format!("{verdict}: {passed} passed, {failed} failed{not_tried}")
}

pub fn format_page(rows: &[Pairs], verdict: &str) -> String {
    let mut text = String::from("Hushbox commissioning report\n\n");
    for row in rows_of_test(rows, "box") {
        let up = value_of(row, "uptime_s");
        text.push_str(&format!(
            "  box      {}, version {}\n",
            value_of(row, "name"),
            value_of(row, "version")
        ));
        let synced = row.get("time_sync").map(|word| format!(", synchronised: {word}"));
        text.push_str(&format!(
            "  time     {}{}\n",
            value_of(row, "time"),
            synced.unwrap_or_default()
        ));
        text.push_str(&format!("  boot     number {}, {up} s before\n", value_of(row, "boot")));
    }
    for (nth, part) in wrap_text(verdict, COLUMNS - 11).iter().enumerate() {
        let head = if nth == 0 { "verdict" } else { "" };
        text.push_str(&format!("  {head:<7}  {part}\n"));
    }
    text.push('\n');
    text.push_str(&format_channels(rows));
    text.push_str(&format_other_tests(rows));
    for row in rows_of_test(rows, "signature") {
        text.push_str(&format!("\n  box key  {}\n", value_of(row, "key")));
    }
    text
}

fn format_channels(rows: &[Pairs]) -> String {
    let head = ["channel", "device", "result", "level", "peak", "noise", "lost", "remark"];
    let mut table = Table::new(head.map(str::to_owned).to_vec());
    let keys = ["channel", "device", "result", "level_db", "peak_db", "noise_db", "lost", "text"];
    for row in rows_of_test(rows, "channel") {
        table.push_row(keys.map(|key| value_of(row, key).to_owned()).to_vec());
    }
    format!("{}(levels in dB of full scale)\n\n", table.format_within(COLUMNS))
}

fn format_other_tests(rows: &[Pairs]) -> String {
    let mut text = String::new();
    for row in rows {
        if ["box", "channel", "signature"].contains(&value_of(row, "test")) {
            continue;
        }
        let parts = row.0.iter().filter(|(key, _)| !["test", "result", "text"].contains(&&**key));
        let parts = parts.map(|(key, value)| format!("{key} {}", value.replace(',', ", ")));
        let parts = parts.chain(row.get("text").map(str::to_owned)).collect::<Vec<_>>().join("; ");
        let (test, result) = (value_of(row, "test"), value_of(row, "result"));
        for (nth, part) in wrap_text(&parts, COLUMNS - 19).iter().enumerate() {
            let (test, result) = if nth == 0 { (test, result) } else { ("", "") };
            text.push_str(format!("{test:<11}  {result:<4}  {part}").trim_end());
            text.push('\n');
        }
    }
    text
}

/// The reason why a report is not authentic.
#[derive(Debug, PartialEq, Eq)]
pub enum ReportError {
    /// Rows are missing.
    NoReport,
    /// This line is not a valid row.
    InvalidRow(usize),
    /// This line of the page does not match the rows.
    PageMismatch(usize),
    /// The digest does not match the rows.
    DigestMismatch,
    /// The signature does not match; holds the recorder's name.
    InvalidSignature(String),
    /// Another key signed the report.
    WrongKey,
}

impl fmt::Display for ReportError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReportError::NoReport => out.write_str("not a self-test report: rows are missing"),
            ReportError::InvalidRow(line) => {
                write!(out, "line {line}: not a valid row")
            }
            ReportError::PageMismatch(line) => {
                write!(out, "line {line}: edited, it does not match the signed rows")
            }
            ReportError::DigestMismatch => {
                out.write_str("edited: the rows do not match the digest")
            }
            ReportError::InvalidSignature(name) => {
                write!(out, "not signed by recorder {name}: edited, or from another recorder")
            }
            ReportError::WrongKey => out.write_str("signed with another key than this recorder's"),
        }
    }
}

/// Runs `hushbox verify-report`.
pub fn run_verify(args: &VerifyReportArgs) -> Result<Outcome, Error> {
    let path = &args.file;
    let failed = |error| Error::Read { path: path.clone(), error };
    let text = std::fs::read(path).map_err(failed)?;
    let key = load_box_key(args)?;
    let mut out = std::io::stdout();
    // A byte that is not UTF-8 cannot occur in an authentic report.
    let text = String::from_utf8_lossy(&text);
    let (line, outcome) = match verify_report(&text, &key) {
        Ok(verdict) => (format!("authentic: {}: {verdict}", path.display()), Outcome::Done),
        Err(broken) => (format!("{}: {broken}", path.display()), Outcome::Unclean),
    };
    writeln!(out, "{line}").map_err(Error::Stdout)?;
    Ok(outcome)
}

/// Returns the given key, else this recorder's.
fn load_box_key(args: &VerifyReportArgs) -> Result<[u8; 32], Error> {
    let Some(path) = &args.key else {
        let store = StoreDir::open(&args.config)?;
        let key = store.box_public_key(None)?;
        let key = key.ok_or_else(|| Error::NoBoxKey { data: store.data.clone() })?;
        return Ok(key.to_bytes());
    };
    read_key_file(path)
}

fn read_key_file(path: &Path) -> Result<[u8; 32], Error> {
    let failed = |error| Error::Read { path: PathBuf::from(path), error };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.ok_or_else(|| Error::BadBoxKey { path: PathBuf::from(path) })
}

/// Verifies that the recorder with this key wrote the report, and returns its result.
fn verify_report(text: &str, key: &[u8; 32]) -> Result<String, ReportError> {
    let numbered = (1..).zip(text.lines()).filter(|(_, line)| line.starts_with("row "));
    let rows: Vec<Pairs> = numbered.map(parse_row).collect::<Result<_, _>>()?;
    let Some((signature, signed)) = rows.split_last() else { return Err(ReportError::NoReport) };
    let boxes: Vec<&Pairs> = rows_of_test(signed, "box").collect();
    let [about] = boxes.as_slice() else { return Err(ReportError::NoReport) };
    let name = value_of(about, "name");
    let whole = format_report(&rows, &format_verdict(&rows));
    if whole != text && format_report(&rows, &format_old_verdict(&rows)) != text {
        let same = whole.lines().zip(text.lines()).take_while(|(a, b)| a == b).count();
        return Err(ReportError::PageMismatch(same + 1));
    }
    let bytes: String = signed.iter().map(|row| reply_format::format_line("row", row)).collect();
    let digest = blake3::hash(bytes.as_bytes());
    if value_of(signature, "digest") != HEXLOWER.encode(digest.as_bytes()) {
        return Err(ReportError::DigestMismatch);
    }
    if value_of(signature, "key") != HEXLOWER.encode(key) {
        return Err(ReportError::WrongKey);
    }
    let public = BoxPublicKey::from_bytes(key, name).ok_or(ReportError::WrongKey)?;
    let sig = HEXLOWER.decode(value_of(signature, "sig").as_bytes()).ok();
    let sig = sig.and_then(|sig| <[u8; 64]>::try_from(sig).ok());
    let good =
        sig.is_some_and(|sig| public.verify(SignaturePurpose::Selftest, digest.as_bytes(), &sig));
    if !good {
        return Err(ReportError::InvalidSignature(name.to_owned()));
    }
    let skipped = skipped_tests(signed);
    let verdict = match count_results(signed, "fail") {
        0 if skipped.is_empty() => "passed".to_owned(),
        0 => format!("passed, but NOT TESTED: {}", skipped.join(", ")),
        count => format!("FAILED, {count} tests"),
    };
    Ok(format!("box {name}, {}, {verdict}", value_of(about, "time")))
}

fn parse_row((number, line): (usize, &str)) -> Result<Pairs, ReportError> {
    let parsed = Line::parse(line).map_err(|_| ReportError::InvalidRow(number))?;
    let mut pairs = Vec::new();
    for word in parsed.into_words().into_iter().skip(1) {
        match word {
            Word::Pair { key, value } => pairs.push((key.to_owned(), value.into_owned())),
            Word::Bare(_) | Word::Quoted(_) => return Err(ReportError::InvalidRow(number)),
        }
    }
    Ok(Pairs(pairs))
}
