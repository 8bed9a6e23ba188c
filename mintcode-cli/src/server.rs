//! What every server of this command needs: an address, and an end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Address;
use crate::exit::Failure;

/// Listens at `address`, and tells the URL by which it is reached from here.
pub(crate) async fn listen(address: &Address) -> Result<(TcpListener, String), Failure> {
    let Address(address) = address;
    let listener = TcpListener::bind(address.as_str()).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Failure::work(format!(
            "{address} is in use; stop the other server, or name another address with --listen"
        )),
        _ => Failure::work(format!("cannot listen at {address}: {error}")),
    })?;
    let mut local =
        listener.local_addr().map_err(|error| Failure::because("the address is not known", &error))?;
    match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => local.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => local.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    Ok((listener, format!("http://{local}")))
}

/// Hears Ctrl-C and SIGTERM from its making on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).map_err(|error| Failure::because("signals cannot be heard", &error));
        Ok(Self { interrupt: hear(SignalKind::interrupt())?, terminate: hear(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Ends the process at the next one, whatever it is doing.
    pub(crate) fn end_at_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(1);
        });
    }
}
