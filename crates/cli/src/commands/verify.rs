//! `hushbox verify`: checks that no record was altered or removed.
//!
//! Reads every journal and media file without a private key. Findings go to stdout, notes to
//! stderr. With `--witness`, the checkpoints kept by clients must be in the chain. With `--export`,
//! one exported file is compared with its manifest instead. `store::verify` does the checks.

use crate::Outcome;
use crate::cli::VerifyArgs;
use crate::commands::export::{file_digest, manifest_path};
use crate::error::Error;
use crate::output::escape::print_message;
use crate::output::progress;
use crate::store::manifest;
use crate::store::store_dir::{Journal, StoreDir};
use crate::store::witness::WitnessFile;
use hushbox::shell::os::regular_file::open_regular_file;
use hushbox::store::media;
use hushbox::store::verify::{Finding, Note, TrustAnchor, Verifier, VerifyReport};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::Path;

pub fn run(args: &VerifyArgs) -> Result<Outcome, Error> {
    let store = StoreDir::open(&args.config)?;
    let key = store.box_public_key(args.box_key.as_deref())?;
    if let Some(path) = &args.export {
        let key = key.ok_or_else(|| Error::NoBoxKey { data: store.data.clone() })?;
        return verify_export(path, &key);
    }
    let witness =
        args.witness.as_deref().map(WitnessFile::read_file).transpose()?.unwrap_or_default();
    let running = store.is_running();
    let journal = match store.read_journals() {
        // The verifier reports this as a finding.
        Err(Error::Journal { .. }) => Journal::default(),
        other => other?,
    };
    let records = journal.index.list_records(&Default::default()).count();
    let mut report = verify_store(
        &store,
        TrustAnchor { key, is_running: running, witness: witness.checkpoints },
    )?;
    if running {
        drop_deleted_findings(&store, &mut report)?;
    }
    print_report(&report, records)
}

fn verify_store(store: &StoreDir, anchor: TrustAnchor) -> Result<VerifyReport, Error> {
    let mut verifier = Verifier::new(anchor);
    for (path, until) in store.journal_parts()? {
        verifier.add_journal_until(&path, BufReader::new(store.open_file(&path)?), until);
    }
    let files = store.media_files()?;
    let bar = progress::new_byte_bar(files.iter().map(|(_, size)| size).sum());
    for (path, _) in files {
        let file = match open_regular_file(&store.path_of(&path)) {
            Ok(file) => file,
            // Deleted since the folder was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                let unreadable = media::MediaError::Read { kind: error.kind() };
                verifier.add_media(&path, Err(&unreadable));
                continue;
            }
        };
        let bytes = verifier.media_bytes(&path).unwrap_or(u64::MAX);
        let scan = media::scan(bar.wrap_read(BufReader::new(file)).take(bytes));
        verifier.add_media(&path, scan.as_ref());
    }
    bar.finish_and_clear();
    Ok(verifier.finish())
}

/// Removes findings for media files that the running daemon has deleted since the journal was read.
fn drop_deleted_findings(store: &StoreDir, report: &mut VerifyReport) -> Result<(), Error> {
    if !report.findings.iter().any(|finding| matches!(finding, Finding::MediaMissing { .. })) {
        return Ok(());
    }
    let journal = store.read_journals()?;
    report.findings.retain(|finding| match finding {
        Finding::MediaMissing { id, .. } => {
            journal.index.record(*id).is_none_or(|record| record.deleted.is_none())
        }
        _ => true,
    });
    Ok(())
}

fn print_report(report: &VerifyReport, records: usize) -> Result<Outcome, Error> {
    let mut out = std::io::stdout().lock();
    for note in &report.notes {
        print_message(&format!("note: {note}\n"));
        if *note == Note::NoKey {
            print_message("note: pass a copy of keys/box.pub with --box-key FILE\n");
        }
    }
    if report.is_clean() {
        let (facts, checkpoints) = (report.entries, report.checkpoints);
        writeln!(out, "clean: {records} records, {facts} facts, {checkpoints} checkpoints")
            .map_err(Error::Stdout)?;
        return Ok(Outcome::Done);
    }
    for finding in &report.findings {
        writeln!(out, "{finding}").map_err(Error::Stdout)?;
    }
    print_message(&format!("hushbox: not clean: {} finding(s)\n", report.findings.len()));
    Ok(Outcome::Unclean)
}

/// Verifies an exported file against its manifest.
fn verify_export(path: &Path, key: &hushbox::store::sign::BoxPublicKey) -> Result<Outcome, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| Error::Read { path, error }
    };
    let (_, blake3) = File::open(path).and_then(file_digest).map_err(failed(path))?;
    let beside = manifest_path(path);
    let text = std::fs::read_to_string(&beside).map_err(failed(&beside))?;
    let (line, outcome) = match manifest::verify_manifest(&text, &blake3, key) {
        Ok(()) => (format!("clean: {}", path.display()), Outcome::Done),
        Err(broken) => (format!("{}: {broken}", beside.display()), Outcome::Unclean),
    };
    writeln!(std::io::stdout(), "{line}").map_err(Error::Stdout)?;
    Ok(outcome)
}
