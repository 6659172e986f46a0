//! The connection to the exchange: opens the source, passes bytes both ways, and opens it again
//! after a failure by `client::RetryPolicy`.

use super::box_link::random_bits;
use crate::config::Source;
use client::{RetryAction, RetryMode, RetryPolicy};
use std::io::Read;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the exchange may take to read what it is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two attempts.
const RETRY_INTERVAL_MS: u64 = 1000;
const READ_BYTES: usize = 16 << 10;

/// What happened at the source.
#[derive(Debug)]
pub enum ExchangeEvent {
    /// A new connection.
    Opened,
    Bytes(Vec<u8>),
    /// The connection failed or was lost; another attempt follows.
    Lost {
        reason: String,
    },
    /// The source has ended for good.
    Ended,
}

/// What to do with the source.
#[derive(Debug)]
pub enum ExchangeCommand {
    Send(Vec<u8>),
    /// The exchange works: a later failure is retried soon.
    Confirm,
    /// Close the connection and open another one.
    Reopen,
}

/// Both ends of the channels to the program.
pub struct ExchangeLink {
    pub events: Sender<ExchangeEvent>,
    pub commands: Receiver<ExchangeCommand>,
}

/// The program ends.
struct Ended;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl ExchangeLink {
    /// Serves the source until the program ends.
    pub async fn run(mut self, source: Source) {
        if source == Source::Stdin {
            return self.run_stdin().await;
        }
        let mut retry = RetryPolicy::with_interval(RetryMode::SelfHealing, RETRY_INTERVAL_MS);
        let mut listener = None;
        loop {
            let reason = match open(&source, &mut listener).await {
                Ok(stream) => match self.serve(stream, &mut retry).await {
                    Ok(reason) => reason,
                    Err(Ended) => return,
                },
                Err(error) => error.to_string(),
            };
            if self.pass(ExchangeEvent::Lost { reason }).await.is_err() {
                return;
            }
            let wait = match retry.record_failure(random_bits()) {
                RetryAction::Retry { in_ms, .. } | RetryAction::Probe { in_ms } => in_ms,
                RetryAction::Standby => RETRY_INTERVAL_MS,
            };
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    /// Passes bytes both ways. Returns why the connection is over.
    async fn serve(
        &mut self,
        mut stream: Box<dyn Stream>,
        retry: &mut RetryPolicy,
    ) -> Result<String, Ended> {
        while self.commands.try_recv().is_ok() {} // of the connection before
        self.pass(ExchangeEvent::Opened).await?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) => return Ok("the exchange closed the connection".to_owned()),
                    Ok(count) => {
                        self.pass(ExchangeEvent::Bytes(buffer[..count].to_vec())).await?;
                    }
                    Err(error) => return Ok(error.to_string()),
                },
                command = self.commands.recv() => match command {
                    Some(ExchangeCommand::Send(bytes)) => {
                        let write = stream.write_all(&bytes);
                        match tokio::time::timeout(WRITE_TIMEOUT, write).await {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => return Ok(error.to_string()),
                            Err(_) => return Ok("the exchange reads nothing".to_owned()),
                        }
                    }
                    Some(ExchangeCommand::Confirm) => retry.record_success(),
                    Some(ExchangeCommand::Reopen) => return Ok("closed after an error".to_owned()),
                    None => return Err(Ended),
                },
            }
        }
    }

    /// Reads stdin in a thread, because it cannot be read without blocking.
    async fn run_stdin(self) {
        let events = self.events.clone();
        if self.pass(ExchangeEvent::Opened).await.is_err() {
            return;
        }
        let read = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; READ_BYTES];
            loop {
                let event = match std::io::stdin().lock().read(&mut buffer) {
                    Ok(0) | Err(_) => ExchangeEvent::Ended,
                    Ok(count) => ExchangeEvent::Bytes(buffer[..count].to_vec()),
                };
                let ended = matches!(event, ExchangeEvent::Ended);
                if events.blocking_send(event).is_err() || ended {
                    return;
                }
            }
        });
        drop(read.await);
    }

    async fn pass(&self, event: ExchangeEvent) -> Result<(), Ended> {
        self.events.send(event).await.map_err(|_| Ended)
    }
}

async fn open(
    source: &Source,
    listener: &mut Option<TcpListener>,
) -> std::io::Result<Box<dyn Stream>> {
    match source {
        Source::Connect(address) => {
            let connect = TcpStream::connect(address);
            let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(late)??;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Source::Listen(address) => {
            let listener = match listener {
                Some(listener) => listener,
                None => listener.insert(TcpListener::bind(address).await?),
            };
            let (stream, from) = listener.accept().await?;
            log::info!("the exchange connects from {}", from.ip());
            Ok(Box::new(stream))
        }
        Source::Serial { path, baud } => {
            Ok(Box::new(serial2_tokio::SerialPort::open(path, *baud)?))
        }
        Source::Stdin => Err(std::io::Error::from(std::io::ErrorKind::Unsupported)),
    }
}
