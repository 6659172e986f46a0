//! Running `hushbox decode`: sealed files in, something to play, draw or read out, in memory only.
//!
//! Every file in memory closes when a program starts. A child inherits copies of exactly the files
//! that it is given, so no child holds the identity of another supervisor's job. The portal itself
//! parses no media.

use crate::config::Unseal;
use crate::media::decode::{Kind, VaultError};
use crate::media::memfile::Memory;
use command_fds::{CommandFdExt, FdMapping};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The tool may take so long at most.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Columns of a waveform.
const PEAKS: &str = "1000";
/// Characters of the tool's error message that are repeated to the user.
const ERROR_CHARS: usize = 300;
/// The first descriptor that a child gets besides stdin, stdout and stderr.
const FIRST_FD: i32 = 3;

/// What the tool reads.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The media file, or the sealed facts.
    pub main: &'a Memory,
    /// The screen's file beside it.
    pub screen: Option<&'a Memory>,
    /// The identity that the supervisor handed in; without one the site's own is used.
    pub identity: Option<&'a Memory>,
}

/// Files that one child inherits.
#[derive(Default)]
struct Inherited(Vec<FdMapping>);

impl Inherited {
    /// Adds a file; the path at which the child finds it.
    fn add(&mut self, file: &Memory) -> io::Result<String> {
        let count = i32::try_from(self.0.len()).map_err(io::Error::other)?;
        let child_fd = FIRST_FD + count;
        self.0.push(FdMapping { parent_fd: file.handle()?, child_fd });
        Ok(format!("/proc/self/fd/{child_fd}"))
    }
}

/// The tool, and the site's identity.
#[derive(Debug)]
pub struct Decoder {
    config: Unseal,
}

impl Decoder {
    #[must_use]
    pub fn new(config: Unseal) -> Decoder {
        Decoder { config }
    }

    /// Whether this machine holds an identity.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.config.identity.is_some()
    }

    /// Runs the tool on `input` and gives what it writes to stdout.
    pub async fn run(&self, input: Input<'_>, kind: Kind) -> Result<Memory, VaultError> {
        let tool = self.config.tool.display().to_string();
        let failed = |error| VaultError::Tool { tool: tool.clone(), error };
        let out = Memory::new()?;
        let mut command = self.command(input, kind)?;
        command.stdin(Stdio::from(input.main.handle()?)).stdout(Stdio::from(out.handle()?));
        let child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().map_err(failed)?;
        // The command holds the copies that the child has inherited.
        drop(command);
        let output = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await;
        let output = output.map_err(|_| VaultError::Slow)?.map_err(failed)?;
        if output.status.success() {
            return Ok(out);
        }
        // The first line says why; the second is for people at a shell.
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.lines().next().unwrap_or_default().trim_start_matches("hushbox: ");
        Err(VaultError::Closed(words.chars().take(ERROR_CHARS).collect()))
    }

    fn command(&self, input: Input<'_>, kind: Kind) -> io::Result<Command> {
        let mut inherited = Inherited::default();
        let mut command = Command::new(&self.config.tool);
        command.args(["decode", "--as", kind.word()]).env_clear();
        if kind == Kind::Shape {
            command.args(["--peaks", PEAKS]);
        }
        if let Some(screen) = input.screen {
            command.arg("--screen").arg(inherited.add(screen)?);
        }
        let handed_in = input.identity.map(|file| inherited.add(file)).transpose()?;
        let identity = handed_in.as_deref().map(Path::new).or(self.config.identity.as_deref());
        if let Some(identity) = identity {
            command.arg("--identity").arg(identity);
        }
        command.fd_mappings(inherited.0).map_err(io::Error::other)?;
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::PermissionsExt;

    /// A tool that waits while it holds the first identity, and else prints what it inherited.
    const TOOL: &str = r#"#!/bin/sh
if grep -q FIRST "$5"; then echo >started; read -r line <release; fi
for file in /proc/$$/fd/*; do
  case $file in */[012]) continue;; esac
  case $(readlink "$file") in /memfd:*) cat "$file";; esac
done
"#;

    fn file(text: &str) -> Memory {
        let mut file = Memory::new().unwrap();
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
        let text = TOOL.replace("started", path("started").to_str().unwrap());
        let text = text.replace("release", path("release").to_str().unwrap());
        std::fs::write(path("tool"), text).unwrap();
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(path("tool"), mode).unwrap();
        let tool = path("tool");
        let decoder = Decoder::new(Unseal { tool, identity: None, memory_mb: 1 });
        let (first, second, empty) = (file("FIRST"), file("SECOND"), file("media"));
        let input = |identity| Input { main: &empty, screen: None, identity: Some(identity) };
        let other = async {
            // The first child runs, and waits.
            let (started, release) = (path("started"), path("release"));
            tokio::task::spawn_blocking(|| std::fs::read(started)).await.unwrap().unwrap();
            let seen = decoder.run(input(&second), Kind::Facts).await.unwrap();
            std::fs::write(release, "go\n").unwrap();
            seen
        };
        let (held, seen) = tokio::join!(decoder.run(input(&first), Kind::Facts), other);
        let text = |memory: &Memory| {
            let bytes = memory.read(0, usize::try_from(memory.size()).unwrap()).unwrap();
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        let (held, seen) = (text(&held.unwrap()), text(&seen));
        assert!(held.contains("FIRST") && !held.contains("SECOND"), "{held}");
        assert!(seen.contains("SECOND"), "the tool sees what it inherited: {seen}");
        assert!(!seen.contains("FIRST"), "another supervisor's identity: {seen}");
    }
}
