//! Runs `hushbox decode`: encrypted files in, playable audio, a waveform or facts out, in memory
//! only.
//!
//! All memory files are close-on-exec. A child inherits copies of exactly the files it is given, so
//! no child holds the identity of another supervisor's job. The portal itself parses no media.

use crate::config::UnsealConfig;
use crate::media::decode_service::{DecodeFormat, MediaError};
use crate::media::fetch::SealedFile;
use crate::media::memfile::MemFile;
use command_fds::{CommandFdExt, FdMapping};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Time limit of one run of the tool.
const DECODE_TIMEOUT: Duration = Duration::from_secs(300);
/// Columns of a waveform.
const WAVEFORM_PEAKS: &str = "1000";
/// Characters of the tool's error message that are shown to the user.
const ERROR_CHARS_MAX: usize = 300;
/// First descriptor that a child inherits after stdin, stdout and stderr.
const FIRST_INHERITED_FD: i32 = 3;

/// Input files of the tool, which refuses any file but those of the recording.
#[derive(Clone, Copy, Debug)]
pub struct DecodeInput<'a> {
    pub recording: &'a str,
    pub main: &'a SealedFile,
    pub screen: Option<&'a SealedFile>,
    /// Identity that the supervisor supplied; without one the site's identity is used.
    pub identity: Option<&'a MemFile>,
}

/// Files that one child inherits.
#[derive(Default)]
struct InheritedFiles(Vec<FdMapping>);

impl InheritedFiles {
    /// Adds a file and returns its path inside the child.
    fn add_file(&mut self, file: &MemFile) -> io::Result<String> {
        let count = i32::try_from(self.0.len()).map_err(io::Error::other)?;
        let child_fd = FIRST_INHERITED_FD + count;
        self.0.push(FdMapping { parent_fd: file.try_clone_fd()?, child_fd });
        Ok(format!("/proc/self/fd/{child_fd}"))
    }
}

/// Paths of the tool and of the site's identity.
#[derive(Debug)]
pub struct Decoder {
    config: UnsealConfig,
}

impl Decoder {
    #[must_use]
    pub fn new(config: UnsealConfig) -> Decoder {
        Decoder { config }
    }

    /// Whether this machine holds an identity.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.config.identity.is_some()
    }

    /// Decodes a recording.
    pub async fn decode(
        &self,
        input: DecodeInput<'_>,
        kind: DecodeFormat,
    ) -> Result<MemFile, MediaError> {
        let mut inherited = InheritedFiles::default();
        let mut command = self.build_command(kind);
        command.args(["--recording", input.recording, "--digest", &input.main.digest]);
        if kind == DecodeFormat::Waveform {
            command.args(["--peaks", WAVEFORM_PEAKS]);
        }
        if let Some(screen) = input.screen {
            command.arg("--screen").arg(inherited.add_file(&screen.file)?);
            command.args(["--screen-digest", &screen.digest]);
        }
        self.add_identity(&mut command, input.identity, &mut inherited)?;
        self.run(command, &input.main.file, inherited).await
    }

    /// Opens sealed numbers and fields. `identity`: see `DecodeInput::identity`.
    pub async fn open_facts(
        &self,
        sealed: &MemFile,
        identity: Option<&MemFile>,
    ) -> Result<MemFile, MediaError> {
        let mut inherited = InheritedFiles::default();
        let mut command = self.build_command(DecodeFormat::Facts);
        self.add_identity(&mut command, identity, &mut inherited)?;
        self.run(command, sealed, inherited).await
    }

    fn build_command(&self, kind: DecodeFormat) -> Command {
        let mut command = Command::new(&self.config.tool);
        command.args(["decode", "--as", kind.as_str()]).env_clear();
        command
    }

    fn add_identity(
        &self,
        command: &mut Command,
        identity: Option<&MemFile>,
        inherited: &mut InheritedFiles,
    ) -> io::Result<()> {
        let handed_in = identity.map(|file| inherited.add_file(file)).transpose()?;
        let identity = handed_in.as_deref().map(Path::new).or(self.config.identity.as_deref());
        if let Some(identity) = identity {
            command.arg("--identity").arg(identity);
        }
        Ok(())
    }

    /// Runs the tool on `input` and returns its stdout.
    async fn run(
        &self,
        mut command: Command,
        input: &MemFile,
        inherited: InheritedFiles,
    ) -> Result<MemFile, MediaError> {
        let tool = self.config.tool.display().to_string();
        let failed = |error| MediaError::Spawn { tool: tool.clone(), error };
        let out = MemFile::new()?;
        command.fd_mappings(inherited.0).map_err(io::Error::other)?;
        command.stdin(Stdio::from(input.try_clone_fd()?)).stdout(Stdio::from(out.try_clone_fd()?));
        let child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().map_err(failed)?;
        // The command holds the descriptor copies that the child inherited.
        drop(command);
        let output = tokio::time::timeout(DECODE_TIMEOUT, child.wait_with_output()).await;
        let output = output.map_err(|_| MediaError::TimedOut)?.map_err(failed)?;
        if output.status.success() {
            return Ok(out);
        }
        // The first line states the reason; the second is for shell users.
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.lines().next().unwrap_or_default().trim_start_matches("hushbox: ");
        // The name of the file means nothing to a supervisor.
        let words = words.split_once(" cannot be used: ").map_or(words, |(_, why)| why);
        Err(MediaError::DecodeFailed(words.chars().take(ERROR_CHARS_MAX).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::PermissionsExt;

    /// A tool that waits while it holds the first identity, and otherwise prints what it inherited.
    const TOOL_SCRIPT: &str = r#"#!/bin/sh
if grep -q FIRST "$5"; then echo >started; read -r line <release; fi
for file in /proc/$$/fd/*; do
  case $file in */[012]) continue;; esac
  case $(readlink "$file") in /memfd:*) cat "$file";; esac
done
"#;

    fn mem_file(text: &str) -> MemFile {
        let mut file = MemFile::new().unwrap();
        file.append(text.as_bytes()).unwrap();
        file
    }

    #[tokio::test]
    async fn decoder_child_inherits_no_identity_of_another_child() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["started", "release"] {
            nix::unistd::mkfifo(&path(name), Mode::S_IRWXU).unwrap();
        }
        let text = TOOL_SCRIPT.replace("started", path("started").to_str().unwrap());
        let text = text.replace("release", path("release").to_str().unwrap());
        std::fs::write(path("tool"), text).unwrap();
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(path("tool"), mode).unwrap();
        let tool = path("tool");
        let decoder = Decoder::new(UnsealConfig { tool, identity: None, memory_mb: 1 });
        let (first, second, empty) = (mem_file("FIRST"), mem_file("SECOND"), mem_file("media"));
        let other = async {
            // The first child runs and waits.
            let (started, release) = (path("started"), path("release"));
            tokio::task::spawn_blocking(|| std::fs::read(started)).await.unwrap().unwrap();
            let seen = decoder.open_facts(&empty, Some(&second)).await.unwrap();
            std::fs::write(release, "go\n").unwrap();
            seen
        };
        let (held, seen) = tokio::join!(decoder.open_facts(&empty, Some(&first)), other);
        let text = |memory: &MemFile| {
            let bytes = memory.read(0, usize::try_from(memory.size()).unwrap()).unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        let (held, seen) = (text(&held.unwrap()), text(&seen));
        assert!(held.contains("FIRST") && !held.contains("SECOND"), "{held}");
        assert!(seen.contains("SECOND"), "the tool sees what it inherited: {seen}");
        assert!(!seen.contains("FIRST"), "another supervisor's identity: {seen}");
    }
}
