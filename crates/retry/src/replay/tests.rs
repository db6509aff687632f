//! Who is woken when several read one request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http_body::Body as _;

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
