//! Where our services' time goes: their own `/debug/pprof/profile` while orders are placed, as flame graphs.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use harness::{latency, pinned, table};
use inferno::flamegraph;
use prost::Message as _;
use seawall_profile::messages::{Profile, Sample};
use stack::Sampled;

use crate::databases::Databases;
use crate::shop::Shop;
use crate::subjects::{CLIENT_CORE, Engine, Method, Programs, SHAPE, Subject};

/// How long a profile is taken.
const SECONDS: u64 = 30;
/// How long calls are made: before it, and after it, since both services begin with reading their own symbols.
const LOAD: Duration = Duration::from_secs(SECONDS + 8);
const BEFORE: Duration = Duration::from_secs(1);
/// Functions with less than this share of the samples are left out, in per cent, so that a graph can be read.
const SHARE_MIN: f64 = 0.3;
/// The same for names: what follows is type parameters.
const NAME_CHARS_MAX: usize = 160;

/// Draws both services on each engine into `folder`, as SERVICE-ENGINE.svg.
pub(crate) fn draw(folder: &Path, programs: &Programs, databases: Databases, engines: &[Engine]) -> Result<()> {
    fs::create_dir_all(folder)?;
    let collector = programs.stack.collector()?;
    for engine in engines {
        let subject = Subject::Ours(Sampled::OnePercent);
        let mut shop = Shop::open(programs, subject, *engine, &databases, collector.address)?;
        let profiles = take(&mut shop)?;
        shop.end()?;
        for (service, profile) in ["order", "user"].into_iter().zip(profiles) {
            let file = folder.join(format!("{service}-{engine}.svg"));
            let title = format!("The {service} service on {engine} under PlaceOrder: processor time");
            let stacks = stacks(&profile)?;
            write(&file, &title, &stacks)?;
            print(&title, &stacks);
            println!("{}\n", file.display());
        }
    }
    databases.end()
}

/// Profiles of the order service and the user service, taken at once while as many orders are placed as they can.
fn take(shop: &mut Shop) -> Result<[Profile; 2]> {
    let [order, user] = [shop.order.admin, shop.user.admin];
    let address = shop.address(Method::PlaceOrder);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            pinned(CLIENT_CORE, || latency::in_flight_with(address, || shop.call(Method::PlaceOrder), SHAPE, LOAD))
        });
        harness::pause(BEFORE);
        let profiles = [order, user].map(|admin| scope.spawn(move || fetch(admin)));
        let [order, user] = profiles.map(|profile| profile.join().expect("a thread that does not panic"));
        let outcome = load.join().expect("a thread that does not panic")?;
        ensure!(outcome.refused == 0, "{} of {} calls were refused", outcome.refused, outcome.calls);
        Ok([order?, user?])
    })
}

fn fetch(admin: SocketAddr) -> Result<Profile> {
    let mut stream = TcpStream::connect(admin)?;
    write!(
        stream,
        "GET /debug/pprof/profile?seconds={SECONDS} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("an answer without a head")?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
    ensure!(head.starts_with("HTTP/1.1 200"), "no profile: {head} {}", String::from_utf8_lossy(body));
    let mut profile = Vec::new();
    GzDecoder::new(body).read_to_end(&mut profile)?;
    Ok(Profile::decode(profile.as_slice())?)
}

/// A stack from the thread to the leaf, and its samples.
type Stack = (Vec<String>, i64);

fn stacks(profile: &Profile) -> Result<Vec<Stack>> {
    let text = |index: i64| profile.string_table[index as usize].as_str();
    let functions: BTreeMap<u64, &str> =
        profile.function.iter().map(|function| (function.id, text(function.name))).collect();
    let locations: BTreeMap<u64, _> = profile.location.iter().map(|location| (location.id, location)).collect();
    let stack = |sample: &Sample| {
        let mut stack = vec![sample.label.first().map_or("", |label| text(label.str)).to_owned()];
        // The leaf is first, and so is what was inlined.
        for id in sample.location_id.iter().rev() {
            let lines = locations.get(id).context("a sample without a place")?.line.iter().rev();
            stack.extend(lines.filter_map(|line| functions.get(&line.function_id).map(|name| short(name))));
        }
        Ok((stack, sample.value.first().copied().unwrap_or_default()))
    };
    profile.sample.iter().map(stack).collect()
}

fn short(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).map(|c| if c == ';' { ',' } else { c }).collect()
}

/// Calls of the system, as the C library names them.
const SYSTEM: [&str; 12] = [
    "accept4",
    "epoll_wait",
    "fdatasync",
    "fsync",
    "pread64",
    "pwrite64",
    "read",
    "recv",
    "send",
    "syscall",
    "write",
    "writev",
];

/// Whose time it is: the system's, or that of the crate that is nearest to the leaf, with what it has the standard
/// library and the C library do. Parts of SQLite are named like nothing, so C belongs to who calls it.
fn owner(stack: &[String]) -> &str {
    let leaf = stack.last().map_or("", |name| name.trim_start_matches("__GI").trim_start_matches('_'));
    if SYSTEM.contains(&leaf.trim_start_matches("libc_")) {
        return "system calls";
    }
    // The first is the thread.
    stack.iter().skip(1).rev().find_map(|name| crate_of(name)).unwrap_or("others")
}

/// `None` for the standard library, and for most of what is not Rust.
fn crate_of(name: &str) -> Option<&str> {
    let path = name.trim_start_matches(['<', '&', '(', '*', '[']).trim_start_matches("dyn ");
    if path.starts_with("sqlite3") {
        return Some("SQLite");
    }
    if path.starts_with("mi_") || path.starts_with("_mi_") {
        return Some("mimalloc");
    }
    let (name, _) = path.split_once("::")?;
    let is_standard = ["core", "alloc", "std", "hashbrown"].contains(&name);
    (!is_standard && !name.contains([' ', '<'])).then_some(name)
}

fn print(title: &str, stacks: &[Stack]) {
    let all: i64 = stacks.iter().map(|(_, count)| count).sum();
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for (stack, count) in stacks {
        *counts.entry(owner(stack)).or_default() += count;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    let percent = |count: i64| 100.0 * count as f64 / all.max(1) as f64;
    let shown = counts.iter().filter(|(_, count)| percent(*count) >= 1.0);
    let rows: Vec<_> = shown.map(|(owner, count)| [(*owner).to_owned(), format!("{:.1}", percent(*count))]).collect();
    println!("{title}, {all} samples:\n\n{}", table(["crate", "%"], &rows));
}

/// Draws them.
fn write(file: &Path, title: &str, stacks: &[Stack]) -> Result<()> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for (stack, count) in stacks {
        *counts.entry(stack.join(";")).or_default() += count;
    }
    let lines: Vec<String> = counts.into_iter().map(|(stack, count)| format!("{stack} {count}")).collect();
    let mut options = flamegraph::Options::default();
    options.title = title.to_owned();
    options.min_width = SHARE_MIN;
    // The same names have the same colours the next time.
    options.deterministic = true;
    let mut out = BufWriter::new(File::create(file).with_context(|| format!("{} cannot be written", file.display()))?);
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut out)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use seawall_profile::messages::{Function, Label, Line, Location};

    use super::*;

    /// Two samples of `a::leaf`, which was inlined into `b::middle`, which `main` has called.
    fn profile() -> Profile {
        let strings = ["", "thread", "worker", "a::leaf", "b::middle", "main; really"];
        let function = |id: u64| Function { id, name: id as i64 + 2, ..Function::default() };
        let line = |function_id| Line { function_id, line: 1 };
        Profile {
            sample: vec![Sample { location_id: vec![1, 2], value: vec![2, 20], label: vec![Label { key: 1, str: 2 }] }],
            location: vec![
                Location { id: 1, mapping_id: 1, line: vec![line(1), line(2)] },
                Location { id: 2, mapping_id: 1, line: vec![line(3)] },
            ],
            function: [1, 2, 3].map(function).to_vec(),
            string_table: strings.map(str::to_owned).to_vec(),
            ..Profile::default()
        }
    }

    #[test]
    fn a_stack_begins_with_its_thread_and_ends_with_what_was_inlined() {
        let stack = ["worker", "main, really", "b::middle", "a::leaf"].map(str::to_owned).to_vec();
        assert_eq!(stacks(&profile()).expect("a profile"), [(stack, 2)]);
    }

    #[test]
    fn a_sample_without_its_place_is_a_mistake() {
        let profile = Profile { location: vec![], ..profile() };
        assert!(stacks(&profile).is_err());
    }

    #[test]
    fn time_is_that_of_the_nearest_crate_or_of_the_system() {
        let owner = |names: &[&str]| {
            let stack: Vec<String> = ["h2-worker"].iter().chain(names).map(|name| (*name).to_owned()).collect();
            super::owner(&stack).to_owned()
        };
        assert_eq!(
            owner(&["tokio::run", "<h2::Codec<B> as core::fmt::Debug>::fmt", "core::ptr::read", "memcpy"]),
            "h2"
        );
        assert_eq!(owner(&["tokio::run", "mio::poll", "epoll_wait"]), "system calls");
        assert_eq!(owner(&["tokio::run", "__GI___writev"]), "system calls");
        assert_eq!(owner(&["seawall_pool::run", "sqlite3_step", "pagerWalFrames"]), "SQLite");
        assert_eq!(owner(&["prost::encode", "_mi_malloc_generic"]), "mimalloc");
        assert_eq!(owner(&["start_thread", "std::thread::start"]), "others");
    }
}
