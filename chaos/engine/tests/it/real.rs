//! The worked example of docs/TARGETS.md on what it is about: a real nginx behind a real
//! Toxiproxy. Left out where either isn't on the `PATH`.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chaos_engine::{Options, Scenario, Silent, Target, Verdict, run};
use tokio_util::sync::CancellationToken;

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first, so that nginx takes its workers along.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|dir| dir.join(program));
    let found = places.find(|file| file.is_file());
    if found.is_none() {
        eprintln!("left out: {program} not installed (the worked example of docs/TARGETS.md)");
    }
    found
}

fn start(program: &Path, args: &[&str]) -> Server {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Server(command.spawn().unwrap())
}

/// A port that nobody has now.
fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn nginx(program: &Path, dir: &Path, port: u16) -> Server {
    std::fs::write(dir.join("index.html"), "hello\n").unwrap();
    let dir = dir.display();
    let config = format!(
        "daemon off; pid {dir}/pid; error_log stderr; events {{}}\n\
         http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; \
         fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; \
         server {{ listen 127.0.0.1:{port}; root {dir}; }} }}\n"
    );
    let file = format!("{dir}/nginx.conf");
    std::fs::write(&file, config).unwrap();
    start(program, &["-e", "stderr", "-c", &file])
}

/// Asks until it is answered.
async fn answers(request: impl Fn() -> reqwest::RequestBuilder) {
    let answered = async {
        loop {
            match request().send().await {
                Ok(answer) if answer.status().is_success() => return,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), answered)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_behind_toxiproxy() {
    let (Some(web), Some(proxy)) = (on_path("nginx"), on_path("toxiproxy-server")) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (page, entry, api) = (free(), free(), free());
    let _nginx = nginx(&web, dir.path(), page);
    let _proxy = start(&proxy, &["-host", "127.0.0.1", "-port", &api.to_string()]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = serde_json::json!({
        "name": "nginx",
        "listen": format!("127.0.0.1:{entry}"),
        "upstream": format!("127.0.0.1:{page}"),
    });
    answers(|| {
        client
            .post(format!("http://127.0.0.1:{api}/proxies"))
            .json(&body)
    })
    .await;
    answers(|| client.get(format!("http://127.0.0.1:{entry}/"))).await;

    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets");
    let text = |name: &str| std::fs::read_to_string(Path::new(files).join(name)).unwrap();
    let target = text("nginx.toml").replace("18081", &entry.to_string());
    let file = dir.path().join("target.toml");
    std::fs::write(&file, target.replace("18474", &api.to_string())).unwrap();
    let target = Target::from_file(&file).unwrap();
    let scenario = Scenario::parse(&text("nginx-latency.toml"), "nginx-latency.toml").unwrap();
    let options = Options {
        quick: true,
        out: dir.path().join("run"),
        ..Options::default()
    };
    let never = CancellationToken::new();
    let result = run(&scenario, &target, &options, &Silent, never)
        .await
        .unwrap();
    assert_eq!(result.verdict, Verdict::Pass, "{}", result.table());
    println!("{}", result.table());
}
