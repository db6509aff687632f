//! A report of samples as a profile.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;
use pprof::{Report, Symbol};
use prost::Message as _;

use crate::messages::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};

/// The one mapping: the program. Its libraries count as parts of it, because the samples do not say
/// which is which, and nobody needs to find the names of their functions any more.
const PROGRAM: u64 = 1;

/// The report as a gzipped profile.
pub(crate) fn encode(report: &Report) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&profile(report).encode_to_vec())?;
    gzip.finish()
}

fn profile(report: &Report) -> Profile {
    let mut tables = Tables::default();
    // The first string of a profile is the empty one.
    tables.string("");
    let samples = ValueType { r#type: tables.string("samples"), unit: tables.string("count") };
    let cpu = ValueType { r#type: tables.string("cpu"), unit: tables.string("nanoseconds") };
    let thread = tables.string("thread");
    let program = std::env::current_exe().unwrap_or_default();
    let program = tables.string(&program.to_string_lossy());
    let period = 1_000_000_000 / i64::from(report.timing.frequency);
    let sample = report.data.iter().map(|(stack, count)| {
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        Sample {
            location_id: stack.frames.iter().map(|frame| tables.location(frame)).collect(),
            value: vec![count, count.saturating_mul(period)],
            label: vec![Label { key: thread, str: tables.string(&stack.thread_name_or_id()) }],
        }
    });
    let sample = sample.collect();
    Profile {
        sample_type: vec![samples, cpu],
        sample,
        mapping: vec![Mapping {
            id: PROGRAM,
            filename: program,
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        }],
        location: tables.locations,
        function: tables.functions,
        string_table: tables.strings,
        time_nanos: nanos(report.timing.start_time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
        duration_nanos: nanos(report.timing.duration),
        period_type: Some(cpu),
        period,
    }
}

fn nanos(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// What samples point into, each thing in it once.
#[derive(Default)]
struct Tables {
    strings: Vec<String>,
    functions: Vec<Function>,
    locations: Vec<Location>,
    string_of: HashMap<String, i64>,
    function_of: HashMap<(i64, i64), u64>,
    location_of: HashMap<Vec<Line>, u64>,
}

impl Tables {
    fn string(&mut self, text: &str) -> i64 {
        if let Some(index) = self.string_of.get(text) {
            return *index;
        }
        // A report has fewer strings than memory has bytes.
        let index = self.strings.len() as i64;
        self.strings.push(text.to_owned());
        self.string_of.insert(text.to_owned(), index);
        index
    }

    fn function(&mut self, symbol: &Symbol) -> u64 {
        let (name, system_name) = (self.string(&symbol.name()), self.string(&symbol.sys_name()));
        let filename = match &symbol.filename {
            Some(file) => self.string(&file.to_string_lossy()),
            None => 0,
        };
        let functions = &mut self.functions;
        *self.function_of.entry((system_name, filename)).or_insert_with(|| {
            let id = functions.len() as u64 + 1;
            functions.push(Function { id, name, system_name, filename });
            id
        })
    }

    /// A frame is a function after those that were inlined into it, as a location is.
    fn location(&mut self, frame: &[Symbol]) -> u64 {
        let line =
            |symbol: &Symbol| Line { function_id: self.function(symbol), line: symbol.lineno.unwrap_or(0).into() };
        let lines: Vec<Line> = frame.iter().map(line).collect();
        let locations = &mut self.locations;
        *self.location_of.entry(lines).or_insert_with_key(|lines| {
            let id = locations.len() as u64 + 1;
            locations.push(Location { id, mapping_id: PROGRAM, line: lines.clone() });
            id
        })
    }
}
