//! A fast endpoint to try a load generator against: answers every request without a body with a few
//! bytes, on a free port that it prints, until its standard input ends.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
const END: &[u8] = b"\r\n\r\n";

fn main() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve())
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut input = tokio::io::stdin();
    let mut nothing = [0; 64];
    let parent = async { while input.read(&mut nothing).await.is_ok_and(|n| n > 0) {} };
    tokio::pin!(parent);
    loop {
        tokio::select! {
            () = &mut parent => return Ok(()),
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tokio::spawn(answer(stream));
            }
        }
    }
}

/// Answers as many requests as come, in order.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 16_384];
    // How much of the blank line at a head's end has been read.
    let mut matched = 0;
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        for byte in &buffer[..n] {
            matched = match *byte {
                b if b == END[matched] => matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            if matched == END.len() {
                matched = 0;
                stream.write_all(ANSWER).await?;
            }
        }
    }
}
