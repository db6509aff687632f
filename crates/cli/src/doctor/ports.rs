//! The ports that `up` would take, and who has them.

use std::collections::BTreeMap;
use std::net::TcpListener;

use anyhow::Result;

use super::finding::{Findings, Level};
use crate::lock;
use crate::ports::local;
use crate::state::State;
use crate::workspace::Workspace;

const ABOUT: &str = "ports";
/// Where traces are received unless it is taken.
const OTLP_PORT: u16 = 4317;

pub(super) fn check(workspace: &Workspace, findings: &mut Findings) -> Result<()> {
    let layout = workspace.layout();
    let state = if lock::is_held(&layout.lock())? { State::read(&layout.state())? } else { None };
    let ours = |port: u16| {
        let suffix = format!(":{port}");
        let snapshot = state.as_ref().map(|state| &state.snapshot);
        snapshot.is_some_and(|snapshot| {
            let of_services = snapshot.services.iter().flat_map(|service| [&service.address, &service.metrics]);
            of_services.chain(&snapshot.otlp).any(|address| address.ends_with(&suffix))
        })
    };
    let mut wanted: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for service in &workspace.services {
        wanted.entry(service.metadata.port).or_default().push(service.name.clone());
        wanted.entry(service.metadata.metrics_port).or_default().push(format!("the metrics of {}", service.name));
    }
    wanted.entry(OTLP_PORT).or_default().push("traces".to_owned());
    let mut free = Vec::new();
    for (port, who) in wanted {
        let for_whom = who.join(" and ");
        if who.len() > 1 {
            let fix = "give one of them another port, in [package.metadata.seawall] of its Cargo.toml";
            findings.add(ABOUT, Level::Warning, format!("{port} is wanted twice: by {for_whom}"), fix);
        }
        if ours(port) {
            findings.ok(ABOUT, format!("{port} has {for_whom}, run by `cargo seawall up`"));
        } else if TcpListener::bind(local(port)).is_ok() {
            free.push(port.to_string());
        } else {
            let (by, fix) = match holder(port) {
                Some((pid, name)) => (format!("{name}, pid {pid}"), format!("end it (kill {pid}), or leave it")),
                None => {
                    ("a process of somebody else".to_owned(), format!("find it with: sudo ss -ltnp 'sport = :{port}'"))
                }
            };
            let what = format!("{port}, for {for_whom}, is taken by {by}");
            findings.add(ABOUT, Level::Warning, what, format!("{fix}; `up` takes the next free port and says so"));
        }
    }
    if !free.is_empty() {
        findings.ok(ABOUT, format!("free: {}", free.join(", ")));
    }
    Ok(())
}

/// Who listens on a port of this machine, as Linux tells it: the id and the name of the process.
fn holder(port: u16) -> Option<(u32, String)> {
    let inodes = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|file| std::fs::read_to_string(file).ok());
    let inodes: Vec<String> = inodes.flat_map(|table| listening(&table, port)).collect();
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let pids =
        std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let links = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        if links.into_iter().any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str())) {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

/// The inodes of sockets that listen on a port, of a table such as `/proc/net/tcp`.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let local_port = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| row.len() > 9 && row[1].ends_with(&local_port) && row[3] == LISTEN);
    rows.map(|row| row[9].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_found_and_who_is_connected_is_not() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:C383 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0 100 0 0 10 0\n   \
            1: 0100007F:C383 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 778 1 0 100 0 0 10 0\n";
        assert_eq!(listening(table, 50_051), ["777"]);
        assert!(listening(table, 50_052).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_by_its_port() {
        let listener = TcpListener::bind(local(0)).unwrap();
        let (pid, name) = holder(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(pid, std::process::id());
        assert!(name.starts_with("cargo_seawall") || !name.is_empty());
    }
}
