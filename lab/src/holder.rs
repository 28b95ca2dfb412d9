//! Who holds a port, as far as this machine lets us read it.

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

use crate::ports::{Layout, Listener, is_free};

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its program's name.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// The process that listens on the port; `None` where it can't be read (another user's
/// process, or no `/proc`).
pub fn of(port: u16) -> Option<Holder> {
    let inode = listening_inode(port)?;
    let link = format!("socket:[{inode}]");
    std::fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .find(|pid| holds(*pid, &link))
        .map(|pid| Holder {
            pid,
            name: program(pid),
        })
}

fn listening_inode(port: u16) -> Option<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .find_map(|table| inode_in(&table, port))
}

/// Finds the port's listening socket in a table of `/proc/net/tcp`'s form (proc(5)).
fn inode_in(table: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == LISTEN;
        listens.then(|| fields.get(9).map(|&inode| inode.to_owned()))?
    })
}

fn holds(pid: u32, link: &str) -> bool {
    let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    fds.flatten()
        .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == Path::new(link)))
}

fn program(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "a process".to_owned(), |name| name.trim().to_owned())
}

/// A listener whose port somebody else has.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Which of the lab's listeners wanted it.
    pub listener: Listener,
    /// Who has it, where that can be read.
    pub holder: Option<Holder>,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is taken by ", self.listener)?;
        match &self.holder {
            Some(holder) => write!(f, "{holder}"),
            None => f.write_str("another process (not readable from here)"),
        }
    }
}

/// The listeners of the layout that could not be opened now.
pub fn taken(layout: Layout) -> Vec<Taken> {
    layout
        .listeners()
        .filter(|listener| !is_free(listener.number))
        .map(|listener| Taken {
            holder: of(listener.number),
            listener,
        })
        .collect()
}

/// Refuses a layout with taken ports, naming each with its holder.
///
/// # Errors
/// When a port is taken.
pub fn require_free(layout: Layout) -> Result<()> {
    let taken = taken(layout);
    if taken.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = taken.iter().map(|t| format!("  {t}")).collect();
    bail!(
        "{} taken:\n{}\nStop what holds {} (`lab down` if it is a lab), or move this lab with \
         `--port-base N`, say `--port-base 20000`.",
        if taken.len() == 1 {
            "a port is"
        } else {
            "ports are"
        },
        list.join("\n"),
        if taken.len() == 1 { "it" } else { "them" },
    )
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_found_as_the_holder_of_its_own_listener() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(of(port).map(|holder| holder.pid), Some(std::process::id()));
        drop(listener);
        assert_eq!(of(port), None);
    }

    #[test]
    fn a_connection_on_the_port_is_no_listener() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000 0 0 111 1\n\
                     1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 222 1\n";
        assert_eq!(inode_in(table, 8080).as_deref(), Some("222"));
        assert_eq!(inode_in(table, 8081), None);
    }

    #[test]
    fn the_refusal_names_port_part_and_way_out() {
        let layout = crate::ports::find_free(40, Default::default()).unwrap();
        let number = layout.number(crate::ports::Port::OrderHttp);
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        let text = require_free(layout).unwrap_err().to_string();
        assert!(text.contains(&number.to_string()), "{text}");
        assert!(text.contains("order-service"), "{text}");
        assert!(text.contains("--port-base"), "{text}");
    }
}
