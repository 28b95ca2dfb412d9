//! Servers to put behind a proxy, one thread a connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::PATIENCE;

/// What a server does with each client.
#[derive(Clone)]
pub enum Upstream {
    /// Sends everything back as it comes.
    Echo,
    /// Sends this, then closes.
    Send(Vec<u8>),
    /// Reads until the client is done sending, then answers with the number of
    /// bytes.
    Count,
}

impl Upstream {
    /// Starts it on a free port. It ends with the process.
    pub fn start(self) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let behaviour = self.clone();
                // A client that is cut off is what many tests are about.
                thread::spawn(move || behaviour.serve(stream).ok());
            }
        });
        address
    }

    fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        match self {
            Self::Echo => {
                std::io::copy(&mut stream.try_clone()?, &mut stream)?;
            }
            Self::Send(data) => stream.write_all(&data)?,
            Self::Count => {
                let mut seen = Vec::new();
                stream.read_to_end(&mut seen)?;
                stream.write_all(seen.len().to_string().as_bytes())?;
            }
        }
        stream.shutdown(Shutdown::Write)
    }
}

/// A client's connection on which no read waits for ever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_nodelay(true).expect("no delay");
    stream
}
