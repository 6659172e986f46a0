//! A box for tests: a unix socket that greets, and says what the test lets it say.
//!
//! `answering` serves any number of connections by a function from lines to answers; `accept` gives
//! the test one connection to lead by itself. It keeps no state and knows no right.

use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{UnixListener, UnixStream};

pub struct FakeBox {
    listener: UnixListener,
    pub socket: PathBuf,
    _folder: tempfile::TempDir,
}

/// One connection, from the side of the box.
pub struct Peer(BufStream<UnixStream>);

impl Peer {
    /// The next line, without its end; `None`: the portal has hung up.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.unwrap_or(0);
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Says lines, each with its end.
    pub async fn say(&mut self, lines: &str) {
        // The portal may have hung up.
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

    /// The next connection, greeted.
    pub async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut peer = Peer(BufStream::new(stream));
        peer.say("hushbox 1 box=fake boot=1\n").await;
        peer
    }

    /// Answers every line of every connection, until the test is over.
    pub fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> PathBuf {
        let (fake, answer) = (FakeBox::listen(), Arc::new(answer));
        let socket = fake.socket.clone();
        tokio::spawn(async move {
            loop {
                let mut peer = fake.accept().await;
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    while let Some(line) = peer.line().await {
                        peer.say(&answer(&line)).await;
                    }
                });
            }
        });
        socket
    }
}
