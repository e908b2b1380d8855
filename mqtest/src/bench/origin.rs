//! Where a link comes from: the defaults of the system, or an address and buffers of its own.

use socket2::SockRef;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// How the socket of a link is made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Origin {
    /// The address it comes from; the whole of 127.0.0.0/8 is this machine.
    pub(crate) ip: Option<IpAddr>,
    /// The size of the kernel's buffer for what is not read yet, in bytes.
    pub(crate) receive_buffer: Option<u32>,
    /// The largest TCP segment, in bytes: the loopback's are 64 KiB, and the server's kernel keeps
    /// some tens of them for a link.
    pub(crate) segment: Option<u32>,
}

impl Origin {
    /// Connects.
    pub(crate) async fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        let socket = match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.segment {
            SockRef::from(&socket).set_tcp_mss(bytes)?;
        }
        if let Some(ip) = self.ip {
            socket.bind((ip, 0).into())?;
        }
        let stream = socket.connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
