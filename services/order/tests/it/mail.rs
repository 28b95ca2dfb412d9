//! Mails by SMTP, at a small server that says yes to everything, or no.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crate::common;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use common::{BUYER, Shop, poll};
use order_service::{config::Config, outbox::Smtp};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// Takes mails (RFC 5321), after it has refused some.
struct Server {
    url: String,
    mails: Arc<Mutex<Vec<String>>>,
    refused: Arc<AtomicU32>,
}

impl Server {
    async fn start(refuse: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let mails = Arc::<Mutex<Vec<String>>>::default();
        let refused = Arc::new(AtomicU32::new(refuse));
        let (kept, left) = (Arc::clone(&mails), Arc::clone(&refused));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(session(stream, Arc::clone(&kept), Arc::clone(&left)));
            }
        });
        Self {
            url,
            mails,
            refused,
        }
    }
}

async fn session(stream: TcpStream, mails: Arc<Mutex<Vec<String>>>, refuse: Arc<AtomicU32>) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut data: Option<String> = None;
    writer.write_all(b"220 test\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        let reply = match &mut data {
            Some(mail) if line == "." => {
                mails.lock().push(mail.clone());
                data = None;
                "250 kept"
            }
            Some(mail) => {
                mail.push_str(&line);
                mail.push('\n');
                continue;
            }
            None if line.starts_with("DATA") => {
                data = Some(String::new());
                "354 go on"
            }
            None if line.starts_with("MAIL") => {
                let left = refuse.load(Ordering::SeqCst);
                refuse.store(left.saturating_sub(1), Ordering::SeqCst);
                if left > 0 { "451 not now" } else { "250 yes" }
            }
            None => "250 yes",
        };
        let reply = format!("{reply}\r\n");
        if writer.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_mail_that_is_refused_at_first_is_sent_later_and_once() {
    let server = Server::start(1).await;
    let mut shop = Shop::open().await;
    let url = server.url.clone();
    shop.restart_with(|config| {
        config.smtp = Some(Smtp {
            url,
            from: Config::sender(),
        });
    })
    .await;
    shop.order(BUYER, &[(1, 2)]).await;
    poll("a mail", || async {
        (server.mails.lock().len() == 1).then_some(())
    })
    .await;
    assert_eq!(server.refused.load(Ordering::SeqCst), 0);
    let mail = server.mails.lock()[0].clone();
    for part in [
        "To: user987654318@example.com",
        "Subject: Your order 1 is pending",
        "X-Event-Id: ",
        "Message-ID: <",
    ] {
        assert!(mail.contains(part), "{part} in {mail}");
    }
    assert!(shop.mails().is_empty(), "no file where there is a server");
}
