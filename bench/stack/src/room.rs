//! How much memory a server has for its connections and calls, and how often it writes.

use std::time::Duration;

use anyhow::Result;
use harness::wire::{self, Call, Connection, Shape};
use harness::{Figure, Goal, H2load, Process, Program, table, writes};

use crate::subjects::{HOLD_PATH, MESSAGE, Programs, Sampled, Subject, call};
use crate::time::DEEP;

/// How often ours may write for a call of a hundred on one connection.
pub(crate) const WRITES_GOAL: Goal = Goal::AtMost(0.05);

const OURS: Subject = Subject::Ours(Sampled::OnePercent);
const CONNECTIONS: usize = 1_000;
/// 10,000 calls in flight, as many on a connection as stock tonic takes.
const HELD: Shape = Shape { connections: 50, streams: 200 };
/// How long the server may take until nothing changes any more.
const PAUSE: Duration = Duration::from_secs(2);
/// Enough that what is written at the start is nothing beside them.
const CALLS: usize = 50_000;

pub(crate) fn figures(programs: &Programs, h2load: &H2load) -> Result<Vec<Figure>> {
    let collector = programs.collector()?;
    let (mut idle, mut held, mut written, mut rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for subject in [Subject::ALIKE, OURS] {
        let server = programs.server(subject, collector.address)?;
        // A limit is for calls that work, and these are to wait.
        let server = server.env("SEAWALL_SERVER_CONCURRENCY_LIMIT", "fixed");
        let server = server.env("SEAWALL_SERVER_CONCURRENCY_MAX", "100000");
        idle.push(with_connections(&server)? as f64);
        held.push(with_calls(&server)? as f64);
        let count = writes::count(&server, |address| h2load.call(address, DEEP, CALLS).map(drop));
        written.push(count.map(|count| count as f64 / CALLS as f64));
        let megabytes = |bytes: &[f64]| format!("{:.1}", bytes.last().copied().unwrap_or_default() / 1e6);
        let writes = written.last().and_then(|count| count.as_ref().ok());
        let writes = writes.map_or("-".to_owned(), |count| format!("{count:.3}"));
        rows.push([subject.to_string(), megabytes(&idle), megabytes(&held), writes]);
    }
    let heads = ["server", "MB, 1,000 idle connections", "MB, 10,000 calls in flight", "writes a call, 1x100"];
    println!("{}", table(heads, &rows));
    let goal = WRITES_GOAL;
    let name = "writes-per-call-1x100";
    Ok(vec![
        match written.pop() {
            Some(Ok(count)) => Figure::counted(name, count, goal),
            Some(Err(error)) => Figure::missing(name, goal, format!("{error:#}")),
            None => Figure::missing(name, goal, "not measured"),
        },
        Figure::counted("memory-idle-to-bare-alike", idle[1] / idle[0], Goal::AtMost(1.1)),
        Figure::counted("memory-in-flight-to-bare-alike", held[1] / held[0], Goal::AtMost(1.1)),
    ])
}

/// Each connection has made a call.
fn with_connections(server: &Program) -> Result<u64> {
    let (process, address) = server.serve()?;
    let call = call();
    let mut connections = (0..CONNECTIONS).map(|_| Connection::open(address)).collect::<Result<Vec<_>>>()?;
    for connection in &mut connections {
        wire::exchange(connection, &call, 1)?;
    }
    settled(&process)
}

fn with_calls(server: &Program) -> Result<u64> {
    let (process, address) = server.serve()?;
    let call = Call::new(HOLD_PATH, MESSAGE);
    let mut connections = (0..HELD.connections).map(|_| Connection::open(address)).collect::<Result<Vec<_>>>()?;
    for connection in &mut connections {
        connection.send(&call, HELD.streams)?;
    }
    let bytes = settled(&process)?;
    for connection in &mut connections {
        connection.never_wait()?;
        let received = connection.receive()?;
        anyhow::ensure!(received.ended == 0, "{} calls are not held but answered", received.ended);
    }
    Ok(bytes)
}

fn settled(process: &Process) -> Result<u64> {
    harness::pause(PAUSE);
    process.memory_bytes()
}
