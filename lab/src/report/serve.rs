//! A run's folder over HTTP on loopback, to read only.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::exit::Exit;
use crate::holder;
use crate::interrupt::Interrupt;

/// Serves the folder until somebody interrupts.
///
/// # Errors
/// When the port is taken.
pub async fn run(dir: &Path, port: Option<u16>) -> Result<Exit> {
    let root = dir
        .canonicalize()
        .with_context(|| format!("cannot read {}", dir.display()))?;
    let mut interrupt = Interrupt::listen()?;
    let listener = listen(port.unwrap_or(0)).await?;
    let at = listener.local_addr().context("the server's address")?;
    println!("http://{at}/\n\n{} · Ctrl-C ends", root.display());
    axum::serve(listener, pages(root))
        .with_graceful_shutdown(async move {
            interrupt.wait().await;
        })
        .await
        .context("the server")?;
    Ok(Exit::Held)
}

async fn listen(port: u16) -> Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => match holder::of(port) {
            Some(holder) => bail!("port {port} is taken by {holder}; try another with --port N"),
            None => bail!("port {port} is taken; try another with --port N"),
        },
        listener => listener.with_context(|| format!("cannot listen on port {port}")),
    }
}

fn pages(root: PathBuf) -> Router {
    Router::new()
        .route("/", get(index))
        .fallback(get(file))
        .with_state(Arc::new(root))
}

/// The report, or what there is instead.
async fn index(State(root): State<Arc<PathBuf>>, headers: HeaderMap) -> Response {
    if !asked_for_loopback(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    for page in ["report.html", "map.html"] {
        if let Ok(report) = tokio::fs::read(root.join(page)).await {
            return Html(report).into_response();
        }
    }
    Html(listing(&root)).into_response()
}

fn listing(root: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let links = names.iter().map(|name| {
        let name = escaped(name);
        format!("<li><a href=\"{name}\">{name}</a></li>")
    });
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Faultline</title><h1>{}</h1>\
         <p>There is no report.html here.</p><ul>{}</ul>",
        escaped(&root.display().to_string()),
        links.collect::<String>()
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

async fn file(State(root): State<Arc<PathBuf>>, request: Request) -> Response {
    if !asked_for_loopback(request.headers()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Some(path) = inside(&root, request.uri().path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match tokio::fs::read(&path).await {
        Ok(body) => ([(header::CONTENT_TYPE, kind(&path))], body).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A page of another site that has its own name resolved to loopback is not let in.
fn asked_for_loopback(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    matches!(name, Some("127.0.0.1" | "localhost"))
}

/// The file that a path names, if it is in the folder, links followed.
fn inside(root: &Path, path: &str) -> Option<PathBuf> {
    let path = root
        .join(path.trim_start_matches('/'))
        .canonicalize()
        .ok()?;
    (path.starts_with(root) && path.is_file()).then_some(path)
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("ndjson" | "jsonl") => "application/x-ndjson",
        Some("xml") => "application/xml",
        Some("svg") => "image/svg+xml",
        Some("zst") => "application/zstd",
        Some("hlog" | "csv" | "txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_folder_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("run");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("result.json"), "{}").unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), root.join("link")).unwrap();
        assert!(inside(&root, "/result.json").is_some());
        for outside in ["/../secret", "//etc/passwd", "/link", "/", "/none"] {
            assert_eq!(inside(&root, outside), None, "{outside}");
        }
    }

    #[test]
    fn only_loopback_names_are_answered() {
        let asked = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            asked_for_loopback(&headers)
        };
        assert!(asked("127.0.0.1:8123") && asked("localhost"));
        assert!(!asked("evil.example:8123"));
        assert!(!asked_for_loopback(&HeaderMap::new()));
    }
}
