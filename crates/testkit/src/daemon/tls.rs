//! TLS for the stories, apart from the code that the box and its clients use.
//!
//! What is trusted and shown is given as PEM; a story that wants a wrong CA gives one.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, socket};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

pub fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).map(|found| found.unwrap()).collect()
}

/// Trusts one CA, and shows the key and certificate of `identity`, as `hushbox enrol` keeps them.
pub fn config(authority: &Path, identity: Option<&Path>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&std::fs::read(authority).unwrap()) {
        roots.add(certificate).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let pem = std::fs::read(path).unwrap();
            let key = PrivateKeyDer::from_pem_slice(&pem).unwrap();
            builder.with_client_auth_cert(certificates(&pem)[..1].to_vec(), key).unwrap()
        }
    };
    Arc::new(config)
}

pub fn connect(port: u16, config: Arc<ClientConfig>) -> TlsStream {
    connect_from(Ipv4Addr::LOCALHOST, port, config)
}

/// Connects from this address of the machine.
pub fn connect_from(from: Ipv4Addr, port: u16, config: Arc<ClientConfig>) -> TlsStream {
    let flags = SockFlag::SOCK_CLOEXEC;
    let plain = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    bind(plain.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0))).unwrap();
    let to = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    nix::sys::socket::connect(plain.as_raw_fd(), &to).unwrap();
    let socket = TcpStream::from(plain);
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(super::TIMEOUT)).unwrap();
    let name = "hushbox".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), socket)
}
