//! A fake recorder for tests: a unix socket that greets and sends what the test dictates.
//!
//! `spawn_answering` serves any number of connections with a function from lines to replies.
//! `accept` gives the test one connection to drive. The fake keeps no state and checks no right.

use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{UnixListener, UnixStream};

pub struct FakeBox {
    listener: UnixListener,
    pub socket: PathBuf,
    _folder: tempfile::TempDir,
}

/// The recorder's end of one connection.
pub struct FakeBoxConnection(BufStream<UnixStream>);

impl FakeBoxConnection {
    /// Reads the next line, without its end; `None` when the portal has disconnected.
    pub async fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.unwrap_or(0);
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Sends lines, each with its line end.
    pub async fn send_lines(&mut self, lines: &str) {
        // The portal may have disconnected.
        drop(self.0.write_all(lines.as_bytes()).await);
        drop(self.0.flush().await);
    }
}

impl FakeBox {
    pub fn listen() -> FakeBox {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("box.sock");
        FakeBox { listener: UnixListener::bind(&socket).unwrap(), socket, _folder: folder }
    }

    /// Accepts the next connection and greets it.
    pub async fn accept(&self) -> FakeBoxConnection {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut peer = FakeBoxConnection(BufStream::new(stream));
        peer.send_lines("hushbox 1 box=fake boot=1\n").await;
        peer
    }

    /// Answers every line of every connection until the test ends.
    pub fn spawn_answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> PathBuf {
        let (fake, answer) = (FakeBox::listen(), Arc::new(answer));
        let socket = fake.socket.clone();
        tokio::spawn(async move {
            loop {
                let mut peer = fake.accept().await;
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    while let Some(line) = peer.read_line().await {
                        peer.send_lines(&answer(&line)).await;
                    }
                });
            }
        });
        socket
    }
}
