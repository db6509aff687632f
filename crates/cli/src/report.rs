//! What `up` and `ps` print of a running stack.

use std::path::Path;

use anstyle::Style;
use anyhow::Result;

use crate::state::{Condition, Snapshot, State};
use crate::terminal::{self, BAD, BOLD, BUSY, DIM, GOOD, Table, WARN, styled};
use crate::tools::{self, Tools};

/// The stack when it is ready: the services, where traces go, what to try, and how it is ended.
pub(crate) fn ready(state: &State, tools: &Tools, end: &str) -> Result<()> {
    terminal::print("")?;
    services(&state.snapshot, false)?;
    terminal::print("")?;
    surroundings(&state.snapshot)?;
    if !state.examples.is_empty() {
        terminal::print("")?;
        terminal::print(format!("{} {}", styled(BOLD, "Try it"), styled(DIM, format!("({end} ends everything)"))))?;
        for example in &state.examples {
            terminal::print(example)?;
        }
        if let Some(hint) = grpcurl_hint(tools) {
            terminal::print(styled(DIM, hint))?;
        }
        terminal::print(format!("cargo seawall trace  {}", styled(DIM, "# what these calls did, across services")))?;
    }
    terminal::print("")
}

/// How to get grpcurl, where the shell would not find it.
fn grpcurl_hint(tools: &Tools) -> Option<String> {
    if tools::find("grpcurl").is_some() {
        return None;
    }
    Some(match tools.find("grpcurl").as_deref().and_then(Path::parent) {
        Some(folder) => format!("# first: export PATH={}:$PATH", folder.display()),
        None => format!("# grpcurl is not on PATH; get it with: go install {}", tools::GRPCURL),
    })
}

/// One line for programs.
pub(crate) fn json(snapshot: &Snapshot) -> Result<()> {
    terminal::print(serde_json::to_string(snapshot)?)
}

/// The table of services.
pub(crate) fn services(snapshot: &Snapshot, with_pid: bool) -> Result<()> {
    let mut headings = vec!["SERVICE", "ADDRESS", "METRICS", "STATE", "BACKEND"];
    if with_pid {
        headings.push("PID");
    }
    let mut table = Table::new(&headings);
    for service in &snapshot.services {
        let plain = Style::new();
        let mut row = vec![
            (service.name.clone(), BOLD),
            (service.address.clone(), plain),
            (format!("http://{}/metrics", service.metrics), plain),
            (service.state.as_str().to_owned(), style(service.state)),
            (service.backend.clone().unwrap_or_else(|| "-".into()), plain),
        ];
        if with_pid {
            row.push((service.pid.map_or_else(|| "-".into(), |pid| pid.to_string()), plain));
        }
        table.row(row);
    }
    table.lines().into_iter().try_for_each(terminal::print)
}

/// Where traces go, and what else runs beside the services.
pub(crate) fn surroundings(snapshot: &Snapshot) -> Result<()> {
    let line = |what: &str, value: &str| terminal::print(format!("{}  {value}", styled(DIM, format!("{what:7}"))));
    if let Some(otlp) = &snapshot.otlp {
        line("TRACES", &format!("http://{otlp} (OTLP), kept in .seawall/traces.db"))?;
    }
    if let Some(jaeger) = &snapshot.jaeger {
        line("JAEGER", jaeger)?;
    }
    if let Some(redis) = &snapshot.redis {
        line("REDIS", redis)?;
    }
    if let Some(tls) = &snapshot.tls {
        line("TLS", &format!("of both ends; you are {}, by {}", tls.identity, tls.cert.display()))?;
    }
    Ok(())
}

fn style(condition: Condition) -> Style {
    match condition {
        Condition::Serving => GOOD,
        Condition::Starting => BUSY,
        Condition::NotServing | Condition::Restarting => WARN,
        Condition::Failed => BAD,
        Condition::Stopped => DIM,
    }
}
