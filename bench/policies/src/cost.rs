//! What a call costs that succeeds: time and allocations, through one layer or several.
//!
//! The service behind is ready and answers at once. Requests and answers are made before the clock is
//! started; sending a request, reading it, reading the answer to its end and dropping all of it is what
//! is measured. All subjects take turns, round after round, so that a busy machine is busy for all.

mod subjects;

use std::fmt::Debug;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use crate::grpc::{self, Answer, RequestBody};
use crate::{allocations, clock, table};

use subjects::{Maker, Of};

/// Calls that are timed together: few enough for their requests to stay in the cache, and for most
/// batches not to be interrupted by another program.
const BATCH: usize = 100;
/// Batches of a subject before the next one has its turn. The fastest one counts: what makes the others
/// slower is not theirs. For the same reason the rounds of a busy machine do not count: of all rounds,
/// the one counts that one in ten is faster than.
const BATCHES: usize = 40;
const ROUNDS: usize = 61;
/// Rounds before those that count.
const WARM_UP: usize = 3;

/// Something whose calls are measured.
struct Subject {
    what: &'static str,
    of: Of,
    /// The subject without a layer.
    bare: Bare,
    /// The name of the row that it is compared with.
    beside: Option<&'static str>,
    /// Times a turn, in nanoseconds a call.
    turn: Box<dyn FnMut() -> f64>,
    /// Counts allocations of so many calls.
    count: Box<dyn FnMut() -> u64>,
}

/// Which body its requests have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bare {
    Tonic,
    Clonable,
}

/// Makes the calls, one after the other.
fn calls<S, A, B>(service: &mut S, requests: Vec<Request<A>>)
where
    S: Service<Request<A>, Response = Response<B>, Error: Debug>,
    B: Body<Error: Debug>,
{
    let mut cx = Context::from_waker(Waker::noop());
    for request in requests {
        let Poll::Ready(Ok(())) = service.poll_ready(&mut cx) else { panic!("a service that is ready") };
        let Poll::Ready(answer) = pin!(service.call(request)).poll(&mut cx) else { panic!("an answer at once") };
        assert_eq!(grpc::read(answer.expect("an answer").into_body()), 2, "a message and trailers");
    }
}

/// Times one batch, in nanoseconds a call.
fn batch<S, A, B>(service: &mut S) -> f64
where
    S: Service<Request<A>, Response = Response<B>, Error: Debug>,
    A: RequestBody,
    B: Body<Error: Debug>,
{
    grpc::stock(BATCH);
    let requests: Vec<_> = (0..BATCH).map(|_| grpc::request()).collect();
    let start = Instant::now();
    calls(service, requests);
    start.elapsed().as_secs_f64() * 1e9 / BATCH as f64
}

/// The fastest of so many batches, in nanoseconds a call.
fn fastest<S, A, B>(service: &mut S, batches: usize) -> f64
where
    S: Service<Request<A>, Response = Response<B>, Error: Debug>,
    A: RequestBody,
    B: Body<Error: Debug>,
{
    (0..batches).map(|_| batch(service)).fold(f64::INFINITY, f64::min)
}

/// Makes so many calls, none of which counts.
fn unmeasured<S, A, B>(service: &mut S, calls: usize)
where
    S: Service<Request<A>, Response = Response<B>, Error: Debug>,
    A: RequestBody,
    B: Body<Error: Debug>,
{
    for _ in 0..calls / BATCH {
        batch(service);
    }
}

/// A subject. If it has to be `filled`, each turn has a service of its own that has seen so many calls.
fn subject<M, S, A, B>(what: &'static str, of: Of, bare: Bare, filled: Option<usize>, make: M) -> Subject
where
    M: Fn() -> S + Clone + 'static,
    S: Service<Request<A>, Response = Response<B>, Error: Debug> + 'static,
    A: RequestBody,
    B: Body<Error: Debug>,
{
    let (mut kept, again) = (make(), make.clone());
    let turn: Box<dyn FnMut() -> f64> = match filled {
        None => Box::new(move || fastest(&mut kept, BATCHES)),
        Some(before) => Box::new(move || {
            let mut service = make();
            unmeasured(&mut service, before);
            // A tenth of the calls more, at most.
            fastest(&mut service, before / BATCH / 10)
        }),
    };
    let count = Box::new(move || {
        let mut service = again();
        unmeasured(&mut service, filled.unwrap_or(0) + BATCH);
        grpc::stock(BATCH);
        let requests: Vec<_> = (0..BATCH).map(|_| grpc::request()).collect();
        allocations::count(|| calls(&mut service, requests))
    });
    Subject { what, of, bare, beside: None, turn, count }
}

impl Subject {
    /// Names the row of Seawall's that it is to be compared with.
    fn beside(mut self, what: &'static str) -> Self {
        self.beside = Some(what);
        self
    }
}

/// What a subject's calls cost.
struct Cost {
    what: &'static str,
    of: Of,
    beside: Option<&'static str>,
    bare: Bare,
    /// Of the rounds: what one in ten is faster than, and the median.
    ns: [f64; 2],
    allocations: f64,
}

fn measure() -> Vec<Cost> {
    let mut subjects = Maker::new().subjects();
    let mut rounds: Vec<Vec<f64>> = subjects.iter().map(|_| Vec::new()).collect();
    for round in 0..WARM_UP + ROUNDS {
        for (subject, rounds) in subjects.iter_mut().zip(&mut rounds) {
            let ns = (subject.turn)();
            if round >= WARM_UP {
                rounds.push(ns);
            }
        }
    }
    let costs = subjects.into_iter().zip(rounds).map(|(mut subject, mut ns)| {
        ns.sort_by(f64::total_cmp);
        let tenth = |tenth: usize| ns[(ns.len() - 1) * tenth / 10];
        let allocations = (subject.count)() as f64 / BATCH as f64;
        let Subject { what, of, beside, bare, .. } = subject;
        Cost { what, of, beside, bare, ns: [tenth(1), tenth(5)], allocations }
    });
    costs.collect()
}

/// What reading the clock costs, in nanoseconds: here, and by asking the C library without this program
/// in between.
fn clock_ns() -> [f64; 2] {
    const READINGS: u32 = 10_000;
    let time = |read: &dyn Fn()| {
        let turn = || {
            let start = Instant::now();
            (0..READINGS).for_each(|_| read());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(READINGS)
        };
        (0..ROUNDS).map(|_| turn()).fold(f64::INFINITY, f64::min)
    };
    [time(&|| _ = std::hint::black_box(Instant::now())), time(&clock::read_system)]
}

/// Measures, and prints the tables.
pub(crate) fn run() {
    println!("## Cost of a call that succeeds\n");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    // Timers, which some layers make, want a runtime around them; nothing runs on it.
    let costs = {
        let _inside = runtime.enter();
        measure()
    };
    let bare = |cost: &Cost| {
        let found = costs.iter().find(|other| other.of == Of::Nobody && other.bare == cost.bare);
        found.map(|found| (found.ns[0], found.allocations)).expect("a row without a layer")
    };
    let rows: Vec<[String; 7]> = costs
        .iter()
        .map(|cost| {
            let (bare_ns, bare_allocations) = bare(cost);
            let [ns, median] = cost.ns;
            [
                cost.what.into(),
                cost.of.to_string(),
                format!("{ns:.0}"),
                format!("{median:.0}"),
                format!("{:.0}", ns - bare_ns),
                format!("{:.2}", ns / bare_ns),
                format!("{:.1}", cost.allocations - bare_allocations),
            ]
        })
        .collect();
    let heads = ["layers", "whose", "ns a call", "median of rounds", "added ns", "× bare", "added allocations"];
    table::print(heads, &rows);

    let [here, system] = clock_ns();
    println!("Reading the clock takes {here:.0} ns here, and {system:.0} ns without the switch to simulated time.\n");

    println!("Seawall's beside theirs:\n");
    let pairs = costs.iter().filter_map(|theirs| {
        let ours = costs.iter().find(|ours| Some(ours.what) == theirs.beside)?;
        let added = |cost: &Cost| cost.ns[0] - bare(cost).0;
        Some([
            ours.what.to_owned(),
            format!("{}: {}", theirs.of, theirs.what),
            format!("{:.2}", ours.ns[0] / theirs.ns[0]),
            format!("{:.2}", added(ours) / added(theirs)),
        ])
    });
    table::print(["Seawall", "beside", "ns ÷ ns", "added ÷ added"], &pairs.collect::<Vec<_>>());
}

/// The body of the answers, for subjects to name.
type Theirs = Response<Answer>;
