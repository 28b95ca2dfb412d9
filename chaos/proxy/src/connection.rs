//! One client's connection: both directions, and how they end together.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::chain::Chain;
use crate::draw::Draws;
use crate::metrics::Metrics;
use crate::pipe::{Ended, Pipe};
use crate::toxics::{Direction, ToxicList};

/// The longest a client waits for the upstream to be reached.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// What every connection of a proxy shares.
pub(crate) struct Link {
    /// The proxy's name.
    pub name: String,
    /// The address to connect to.
    pub upstream: String,
    pub toxics: watch::Receiver<ToxicList>,
    pub metrics: Arc<Metrics>,
}

/// Serves one client until one side or a toxic ends it. Dropping the future
/// closes both sides at once.
pub(crate) async fn serve(link: Arc<Link>, mut client: TcpStream, draws: Draws) {
    let number = draws.connection;
    let dialled = timeout(DIAL_TIMEOUT, TcpStream::connect(&link.upstream)).await;
    let mut upstream = match dialled {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::warn!(link = link.name, upstream = link.upstream, %error, "upstream refused");
            return;
        }
        Err(_) => {
            tracing::warn!(
                link = link.name,
                upstream = link.upstream,
                "upstream unreachable"
            );
            return;
        }
    };
    // Delays are the toxics' business, not Nagle's. It fails only on a socket
    // that is dead already, which the copy will notice.
    let _ = client
        .set_nodelay(true)
        .and_then(|()| upstream.set_nodelay(true));
    tracing::debug!(link = link.name, connection = number, "connected");

    let ended = {
        let (client_read, client_write) = client.split();
        let (upstream_read, upstream_write) = upstream.split();
        let up = link.pipe(Direction::Upstream, draws, client_read, upstream_write);
        let down = link.pipe(Direction::Downstream, draws, upstream_read, client_write);
        both(up.run(), down.run()).await
    };
    if ended == Ended::Reset {
        // Closing then sends RST in place of FIN, on both sides.
        let _ = client.set_zero_linger();
        let _ = upstream.set_zero_linger();
    }
    tracing::debug!(
        link = link.name,
        connection = number,
        ?ended,
        "disconnected"
    );
}

impl Link {
    fn pipe<R, W>(&self, direction: Direction, draws: Draws, reader: R, writer: W) -> Pipe<R, W>
    where
        R: tokio::io::AsyncRead + Unpin,
        W: tokio::io::AsyncWrite + Unpin,
    {
        let chain = Chain::new(direction, draws);
        let metrics = self.metrics.direction(&self.name, direction);
        Pipe::new(reader, writer, chain, self.toxics.clone(), metrics)
    }
}

/// Runs both directions. One that is done leaves the other going; one that
/// demands the end of the connection ends both.
async fn both(up: impl Future<Output = Ended>, down: impl Future<Output = Ended>) -> Ended {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let (mut up_over, mut down_over) = (false, false);
    while !(up_over && down_over) {
        let ended = tokio::select! {
            ended = &mut up, if !up_over => { up_over = true; ended }
            ended = &mut down, if !down_over => { down_over = true; ended }
        };
        if matches!(ended, Ended::Close | Ended::Reset) {
            return ended;
        }
    }
    Ended::HalfClosed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn a_half_close_waits_for_the_other_direction() {
        let other = async {
            tokio::task::yield_now().await;
            Ended::ReceiverGone
        };
        assert_eq!(
            both(ready(Ended::HalfClosed), other).await,
            Ended::HalfClosed
        );
    }

    #[tokio::test]
    async fn a_close_or_reset_waits_for_nothing() {
        for ended in [Ended::Close, Ended::Reset] {
            assert_eq!(both(ready(ended), pending()).await, ended);
            assert_eq!(both(pending(), ready(ended)).await, ended);
        }
    }
}
