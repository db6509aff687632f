//! Pictures of traces, as they must look, and that no trace breaks them.

use proptest::prelude::*;

use crate::text;
use crate::trace::{Event, Kind, Span, Status, Trace};

const START_NS: u64 = 1_790_000_000_000_000_000;

fn span(id: u64, parent: Option<u64>, service: &str, name: &str, start_us: u64, duration_us: u64) -> Span {
    Span {
        trace_id: "5b8aa5a2d2c872e8321cf37308d69df2".into(),
        span_id: format!("{id:016x}"),
        parent_id: parent.map(|id| format!("{id:016x}")),
        service: service.into(),
        name: name.into(),
        kind: Kind::Internal,
        code: "UNSET".into(),
        status: Status::Unset,
        status_message: String::new(),
        start_ns: START_NS + start_us * 1000,
        duration_ns: duration_us * 1000,
        attributes: Vec::new(),
        events: Vec::new(),
    }
}

fn call(mut span: Span, code: &str) -> Span {
    span.code = code.into();
    span
}

fn event(at_us: u64, name: &str, attributes: &[(&str, &str)]) -> Event {
    let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Event { name: name.into(), time_ns: START_NS + at_us * 1000, attributes }
}

fn trace(spans: Vec<Span>) -> Trace {
    Trace { trace_id: "5b8aa5a2d2c872e8321cf37308d69df2".into(), spans }
}

/// What placing an order looks like when the user's last read fails.
fn place_order() -> Trace {
    let mut checkout = span(8, Some(5), "user", "pool checkout", 5_500, 2_300);
    checkout.events.push(event(
        5_600,
        "pool is empty",
        &[("in_use", "10"), ("level", "WARN"), ("code.line.number", "7")],
    ));
    let mut select = span(9, Some(5), "user", "SELECT users", 7_900, 900);
    (select.status, select.code, select.status_message) =
        (Status::Error, "ERROR".into(), "no such table: users".into());
    let mut server = call(span(5, Some(4), "user", "seawall.user.v1.UserService/GetUser", 5_200, 3_900), "INTERNAL");
    server.status = Status::Error;
    let mut client = call(span(4, Some(1), "order", "seawall.user.v1.UserService/GetUser", 4_100, 6_100), "INTERNAL");
    client.status = Status::Error;
    trace(vec![
        call(span(1, None, "order", "seawall.order.v1.OrderService/PlaceOrder", 0, 18_440), "INTERNAL"),
        span(2, Some(1), "order", "pool checkout", 300, 12),
        span(3, Some(1), "order", "SELECT orders", 400, 1_240),
        client,
        server,
        checkout,
        select,
        span(10, Some(1), "order", "INSERT orders", 10_900, 2_000),
        span(11, Some(1), "order", "COMMIT", 13_000, 5_200),
    ])
}

#[test]
fn a_trace_through_two_services() {
    let expected = "\
trace 5b8aa5a2d2c872e8321cf37308d69df2
18.4 ms · 9 spans · order, user · 3 errors · 2026-09-21T14:13:20.000Z

                                                                     0            9.22 ms              18.4 ms
seawall.order.v1.OrderService/PlaceOrder   order  INTERNAL  18.4 ms  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
├─ pool checkout                           order            12.0 µs  ╺
├─ SELECT orders                           order            1.24 ms  ╺━━━
├─ seawall.user.v1.UserService/GetUser     order  INTERNAL  6.10 ms           ━━━━━━━━━━━━━━
│  └─ seawall.user.v1.UserService/GetUser  user   INTERNAL  3.90 ms             ╺━━━━━━━━╸
│     ├─ pool checkout                     user             2.30 ms              ◆━━━━╸
│     │    ◆ +5.60 ms  pool is empty  in_use=10
│     └─ SELECT users                      user   ERROR      900 µs                   ╺━━
│          ✗ no such table: users
├─ INSERT orders                           order            2.00 ms                          ━━━━━
└─ COMMIT                                  order            5.20 ms                              ╺━━━━━━━━━━━╸
";
    assert_eq!(place_order().waterfall(110, false), expected);
}

#[test]
fn colours_mark_services_and_errors() {
    let spans = vec![
        call(span(1, None, "order", "Place", 0, 4_000), "OK"),
        Span { status: Status::Error, ..call(span(2, Some(1), "user", "Get", 1_000, 2_000), "NOT_FOUND") },
    ];
    let expected = "\
^[2mtrace ^[0m^[1m5b8aa5a2d2c872e8321cf37308d69df2^[0m
^[1m4.00 ms^[0m^[2m · ^[0m2 spans^[2m · ^[0m^[36morder^[0m^[2m, ^[0m^[32muser^[0m^[2m · ^[0m^[1;31m1 error^[0m^[2m · ^[0m^[2m2026-09-21T14:13:20.000Z^[0m

                                             ^[2m0       4.00 ms^[0m
Place             ^[36morder^[0m  ^[2mOK       ^[0m  4.00 ms  ^[36m━━━━━━━━━━━━━━━^[0m
^[2m└─ ^[0m^[1;31mGet          ^[0m  ^[32muser ^[0m  ^[1;31mNOT_FOUND^[0m  2.00 ms  ^[1;31m   ╺━━━━━━━╸^[0m
";
    assert_eq!(trace(spans).waterfall(60, true).replace('\u{1b}', "^"), expected);
}

#[test]
fn parents_that_are_missing_or_in_a_circle_are_marked() {
    let spans = vec![
        span(1, None, "order", "root", 0, 100),
        span(2, Some(77), "order", "orphan", 10, 20),
        span(3, Some(2), "order", "its child", 15, 5),
        span(4, Some(5), "order", "egg", 30, 10),
        span(5, Some(4), "order", "hen", 40, 10),
        span(6, Some(5), "order", "chick", 25, 10),
        span(7, Some(7), "order", "its own parent", 60, 10),
    ];
    let expected = "\
trace 5b8aa5a2d2c872e8321cf37308d69df2
100 µs · 7 spans · order · 2026-09-21T14:13:20.000Z

                                  0               50.0 µs                 100 µs
root              order   100 µs  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
┈ orphan          order  20.0 µs      ╺━━━━━━━━━
└─ its child      order  5.00 µs        ╺━━╸
↻ egg             order  10.0 µs               ╺━━━━╸
└─ hen            order  10.0 µs                    ━━━━━
   └─ chick       order  10.0 µs             ╺━━━━╸
↻ its own parent  order  10.0 µs                             ╺━━━━╸

┈ the parent is not here, or not yet
↻ the parents lead in a circle
";
    assert_eq!(trace(spans).waterfall(80, false), expected);
}

#[test]
fn what_spans_say_cannot_break_the_picture() {
    let mut hostile = span(2, Some(1), "日本語サービス・長い名前", "SELECT\n\u{1b}[2J日本", 900, 0);
    hostile.status = Status::Error;
    hostile.status_message = "line one\nline two".into();
    hostile.events.push(event(0, "before \u{202e}all", &[("k\n", "\u{7}")]));
    let skewed = Span { start_ns: START_NS - 500_000, ..span(3, Some(2), "order", "skewed", 0, 100) };
    let expected = "\
trace 5b8aa5a2d2c872e8321cf37308d69df2
1.40 ms · 3 spans · order, 日本語サービス・長い名前 · 1 error · 2026-09-21T14:13:19.999Z

                                                    0       700 µs       1.40 ms
root                      order             500 µs            ━━━━━━━━━━
└─ SELECT\\n\\u{1b}[2J日本  日本語サービス…     0 ns                             ╺
   │  ✗ line one\\nline two
   │  ◆ +500 µs  before \\u{202e}all  k\\n=\\u{7}
   └─ skewed              order             100 µs  ━━
";
    let picture = trace(vec![span(1, None, "order", "root", 0, 500), hostile, skewed]).waterfall(80, false);
    assert_eq!(picture, expected);
}

#[test]
fn the_numbers_of_an_event_are_shown_however_many() {
    let mut call = span(1, None, "order", "shop.v1.User/Get", 0, 1_000);
    let cause = "the service cannot be reached: ".repeat(20);
    call.events.push(event(
        100,
        "breaker.rejected",
        &[
            ("peer", "user"),
            ("method", "shop.v1.User/Get"),
            ("state", "throttling"),
            ("drop_probability", "0.036"),
            ("calls", "293"),
        ],
    ));
    call.events.push(event(200, "call failed", &[("cause", &cause)]));
    let expected = "\
trace 5b8aa5a2d2c872e8321cf37308d69df2
1.00 ms · 1 span · order · 2026-09-21T14:13:20.000Z

                                  0  500 µs  1.00 ms
shop.v1.User/Get  order  1.00 ms  ━◆━◆━━━━━━━━━━━━━━
  ◆ +100 µs  breaker.rejected  peer=user
      state=throttling  drop_probability=0.036
      calls=293
  ◆ +200 µs  call failed  cause=the service cannot
      be reached: the service cannot be reached: the
      service cannot be reached: the service cannot
      be reached: the service cannot be reached: th…
";
    assert_eq!(trace(vec![call]).waterfall(52, false), expected);
}

#[test]
fn traces_without_extent_have_a_picture() {
    assert_eq!(
        trace(Vec::new()).waterfall(80, false),
        "trace 5b8aa5a2d2c872e8321cf37308d69df2\n0 ns · 0 spans · 1970-01-01T00:00:00.000Z\n"
    );
    let expected = "\
trace 5b8aa5a2d2c872e8321cf37308d69df2
0 ns · 1 span · order · 2026-09-21T14:13:20.000Z

                               0
instant           order  0 ns  ╸
";
    assert_eq!(trace(vec![span(1, None, "order", "instant", 0, 0)]).waterfall(80, false), expected);
}

#[test]
fn a_long_trace_is_cut_and_says_so() {
    let mut spans: Vec<Span> =
        (1..=100_000).map(|id| span(id, (id > 1).then(|| id - 1), "order", "deep", id, 1)).collect();
    spans[99_999].status = Status::Error;
    let picture = trace(spans).waterfall(100, false);
    assert_eq!(picture.matches("deep").count(), 500);
    assert!(picture.ends_with("… 99,500 more spans not shown, with 1 error\n"), "{}", &picture[picture.len() - 100..]);
    assert!(picture.lines().all(|line| text::width(line) <= 100));
}

/// Any number of spans with ids, parents and times from small ranges, so that cycles, missing
/// parents, equal ids and ends before starts all occur.
fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let any = (
        0..12_u64,
        proptest::option::of(0..14_u64),
        prop_oneof![0..50_u64, Just(u64::MAX)],
        prop_oneof![0..50_u64, Just(u64::MAX)],
        ".{0,12}",
    );
    proptest::collection::vec(any, 0..24).prop_map(|parts| {
        parts
            .into_iter()
            .enumerate()
            .map(|(index, (id, parent, start_ns, duration_ns, text))| Span {
                name: format!("<{index}>"),
                start_ns,
                duration_ns,
                status_message: text.clone(),
                events: vec![Event {
                    name: text.clone(),
                    time_ns: duration_ns,
                    attributes: vec![(text.clone(), text.clone())],
                }],
                ..span(id, parent, &text, "", 0, 0)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn every_span_is_shown_once(spans in any_spans(), width in 0..300_usize, colour in any::<bool>()) {
        let count = spans.len();
        let mut nodes: Vec<usize> = super::tree::order(&spans).into_iter().map(|node| node.index).collect();
        nodes.sort_unstable();
        prop_assert_eq!(nodes, (0..count).collect::<Vec<_>>());

        let plain: Vec<Span> = spans.iter().map(|span| Span { status_message: String::new(), events: Vec::new(), service: "s".into(), ..span.clone() }).collect();
        let picture = trace(plain).waterfall(width, colour);
        for index in 0..count {
            prop_assert_eq!(picture.matches(&format!("<{index}>")).count(), 1);
        }
        trace(spans).waterfall(width, colour);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal(spans in any_spans(), width in 80..300_usize) {
        for line in trace(spans).waterfall(width, false).lines().skip(2) {
            prop_assert!(text::width(line) <= width, "{} > {width}: {line}", text::width(line));
        }
    }
}
