//! What attempts read, and who is woken when several read one request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http_body::Body as _;
use proptest::prelude::*;

use super::*;
use crate::AllowanceConfig;

/// A body of which the test decides what it gives, and when it wakes.
#[derive(Default)]
struct Script {
    next: Option<&'static str>,
    waker: Option<Waker>,
}

#[derive(Clone, Default)]
struct Source(Arc<Mutex<Script>>);

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut script = self.0.lock().unwrap();
        match script.next.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(data.as_bytes()))))),
            None => {
                script.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Source {
    fn give(&self, data: &'static str) -> Option<Waker> {
        let mut script = self.0.lock().unwrap();
        script.next = Some(data);
        script.waker.take()
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A reader in a task of its own.
struct Reader {
    number: u32,
    body: Body,
    woken: Arc<Woken>,
}

impl Reader {
    fn of(original: &mut Original) -> Self {
        let (number, request) = original.request(0);
        Self { number, body: request.into_body(), woken: Arc::default() }
    }

    fn poll(&mut self) -> Poll<Option<Result<Bytes, Status>>> {
        let waker = Waker::from(self.woken.clone());
        let frame = Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(&waker));
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap())))
    }

    fn data(&mut self) -> &'static str {
        match self.poll() {
            Poll::Ready(Some(Ok(data))) => String::from_utf8(data.to_vec()).unwrap().leak(),
            other => panic!("{other:?}"),
        }
    }

    fn is_woken(&self) -> bool {
        self.woken.0.swap(0, Ordering::SeqCst) > 0
    }
}

fn original(bytes_max: usize) -> (Source, Original) {
    let source = Source::default();
    let allowance = Arc::new(Allowance::try_new("shop", &AllowanceConfig::default(), Instant::now()).unwrap());
    let original = Original::new(Request::new(Body::new(source.clone())), bytes_max, allowance);
    (source, original)
}

#[test]
fn who_still_reads_is_woken_though_the_last_to_ask_has_gone() {
    let (source, mut original) = original(100);
    let (mut first, mut second) = (Reader::of(&mut original), Reader::of(&mut original));
    assert!(first.poll().is_pending() && second.poll().is_pending());
    assert!(original.commit(first.number));
    drop(second);
    source.give("a").unwrap().wake();
    assert!(first.is_woken());
    assert_eq!(first.data(), "a");
}

#[test]
fn who_waits_is_woken_by_another_one_who_finds_something() {
    let (source, mut original) = original(100);
    let (mut first, mut second) = (Reader::of(&mut original), Reader::of(&mut original));
    assert!(first.poll().is_pending());
    // Ready before the waker is called, and it will not be.
    drop(source.give("a"));
    assert_eq!(second.data(), "a");
    assert!(first.is_woken() && !second.is_woken());
    assert_eq!(first.data(), "a");
}

#[test]
fn the_call_is_woken_when_the_request_has_become_anothers() {
    let (source, mut original) = original(1);
    let (mut first, mut second) = (Reader::of(&mut original), Reader::of(&mut original));
    let call = Arc::<Woken>::default();
    let waker = Waker::from(call.clone());
    assert_eq!(original.poll_owner(&Context::from_waker(&waker)), None);
    drop(source.give("long"));
    assert_eq!(second.data(), "long");
    assert_eq!(call.0.load(Ordering::SeqCst), 1);
    assert_eq!(original.poll_owner(&Context::from_waker(&waker)), Some(second.number));
    assert!(matches!(first.poll(), Poll::Ready(Some(Err(_)))));
    assert!(!original.commit(first.number) && !original.retire(first.number));
}

#[test]
fn a_reader_that_is_retired_while_it_waits_ends() {
    let (_source, mut original) = original(100);
    let mut reader = Reader::of(&mut original);
    assert!(reader.poll().is_pending());
    assert!(original.retire(reader.number));
    assert!(reader.is_woken());
    assert!(matches!(reader.poll(), Poll::Ready(Some(Err(_)))));
}

/// A body that gives these frames one after the other, and is not ready before each if it is slow.
struct Frames {
    rest: VecDeque<Bytes>,
    is_slow: bool,
    is_late: bool,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.is_late = self.is_slow && !self.is_late;
        if self.is_late {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.rest.pop_front().map(|data| Ok(Frame::data(data))))
    }
}

/// All that an attempt reads, without the cuts between frames.
fn read_all(reader: &mut Reader) -> Vec<u8> {
    let mut read = Vec::new();
    loop {
        match reader.poll() {
            Poll::Ready(Some(frame)) => read.extend(frame.unwrap()),
            Poll::Ready(None) => return read,
            Poll::Pending => assert!(reader.is_woken(), "nobody would ask again"),
        }
    }
}

proptest! {
    /// Whether it is there as a whole or comes in pieces.
    #[test]
    fn every_attempt_reads_the_same_and_a_request_that_does_not_fit_is_of_the_first(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..4),
        is_slow in any::<bool>(),
        bytes_max in 1usize..40,
    ) {
        let sent = frames.concat();
        let allowance = Arc::new(Allowance::try_new("shop", &AllowanceConfig::default(), Instant::now()).unwrap());
        let kept = || allowance.snapshot(Instant::now()).replay_buffers_bytes;
        let body = Frames { rest: frames.into_iter().map(Bytes::from).collect(), is_slow, is_late: false };
        let mut original = Original::new(Request::new(Body::new(body)), bytes_max, allowance.clone());
        let mut first = Reader::of(&mut original);
        prop_assert_eq!(&read_all(&mut first), &sent);
        prop_assert!(kept() <= bytes_max);
        let fits = sent.len() <= bytes_max;
        prop_assert_eq!(original.retire(first.number), fits);
        if fits {
            prop_assert_eq!(kept(), sent.len());
            let mut second = Reader::of(&mut original);
            prop_assert_eq!(read_all(&mut second), sent);
            prop_assert!(original.commit(second.number) && !original.retire(second.number));
        }
        drop((first, original));
        prop_assert_eq!(kept(), 0);
    }
}

#[test]
fn the_only_frame_brings_the_end_with_it() {
    let body = Frames { rest: VecDeque::from([Bytes::from_static(b"all")]), is_slow: false, is_late: false };
    let allowance = Arc::new(Allowance::try_new("shop", &AllowanceConfig::default(), Instant::now()).unwrap());
    let mut original = Original::new(Request::new(Body::new(body)), 100, allowance);
    let mut reader = Reader::of(&mut original);
    assert!(!reader.body.is_end_stream());
    // Or there would be a header with its length.
    assert_eq!(reader.body.size_hint().exact(), None);
    assert_eq!(reader.data(), "all");
    assert!(reader.body.is_end_stream(), "no frame is sent for the end alone");
}
