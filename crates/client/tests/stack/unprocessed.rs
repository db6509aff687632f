//! Calls that the peer says it has not looked at: they are made again, once, also where the method has
//! no retries.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use futures_util::stream;
use seawall_client::Channel;
use seawall_proto::seawall::user::v1::user_service_client::UserServiceClient;
use seawall_proto::seawall::user::v1::{CreateUserRequest, GetUserRequest, ImportUsersRequest, User};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::raw::{NO_ERROR, Raw, Talk};
use crate::settings::users;
use crate::shop::until;

/// What a peer does with a call: whether it answers the first one decides nothing for the others.
#[derive(Clone, Copy)]
enum With {
    Refusal,
    GoodbyeBefore,
    /// It says that it has begun to work on it, and is gone.
    GoodbyeAfter,
}

/// A peer that does this with its first `number` calls and answers the others; with the requests of all.
async fn peer(number: usize, with: With) -> (Raw, Arc<Mutex<Vec<Vec<u8>>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let server = Raw::play(move |_, mut talk| {
        let seen = Arc::clone(&seen);
        async move {
            talk.begin(None).await?;
            loop {
                let stream = talk.call().await?;
                let calls = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(talk.request.clone());
                    seen.len()
                };
                match with {
                    _ if calls > number => talk.answer(stream, &[b""]).await?,
                    With::Refusal => talk.refuse(stream).await?,
                    With::GoodbyeBefore => {
                        talk.go_away(stream - 1, NO_ERROR, "").await?;
                        return talk.listen().await;
                    }
                    With::GoodbyeAfter => return talk.go_away(stream, NO_ERROR, "").await,
                }
            }
        }
    })
    .await;
    (server, requests)
}

/// The requests that a peer gets for one call, and how that ends.
async fn requests(name: &'static str, number: usize, with: With) -> (Vec<Vec<u8>>, Result<(), Status>) {
    let (server, requests) = peer(number, with).await;
    let mut users = users(name, &[server.address], &[]);
    let user = Some(User { user_id: "seven".to_owned(), ..User::default() });
    let request = CreateUserRequest { user };
    let ended = users.create_user(request).await.map(|_| ());
    let requests = requests.lock().unwrap().clone();
    (requests, ended)
}

#[tokio::test]
async fn a_call_that_was_not_looked_at_is_made_again_with_the_same_request() {
    for (name, with) in [("refused-once", With::Refusal), ("goodbye-once", With::GoodbyeBefore)] {
        let (requests, ended) = requests(name, 1, with).await;
        ended.unwrap();
        assert_eq!(requests.len(), 2, "{name}");
        assert!(requests[0] == requests[1] && requests[0].ends_with(b"seven"), "{name}: {requests:?}");
    }
}

#[tokio::test]
async fn it_is_made_again_once() {
    for (name, with) in [("refused-twice", With::Refusal), ("goodbye-twice", With::GoodbyeBefore)] {
        let (requests, ended) = requests(name, 9, with).await;
        assert_eq!((requests.len(), ended.unwrap_err().code()), (2, Code::Unavailable), "{name}");
    }
}

#[tokio::test]
async fn a_call_that_may_have_been_looked_at_is_not_made_again() {
    let (requests, ended) = requests("goodbye-after", 1, With::GoodbyeAfter).await;
    assert_eq!((requests.len(), ended.unwrap_err().code()), (1, Code::Unavailable));
}

#[tokio::test]
async fn a_call_with_retries_is_made_again_beside_them_and_only_once_for_that() {
    let (server, requests) = peer(2, With::Refusal).await;
    // Of two attempts that are refused, one is made again for free, and one is retried.
    users("refused-retried", &[server.address], &[]).get_user(GetUserRequest::default()).await.unwrap();
    assert_eq!(requests.lock().unwrap().len(), 3);
}

/// A peer that refuses the first call as soon as some of its request has come.
async fn refusing_early(calls: Arc<AtomicUsize>) -> Raw {
    async fn talks(mut talk: Talk, calls: Arc<AtomicUsize>) -> Option<()> {
        talk.begin(None).await?;
        let stream = talk.begun_call().await?;
        calls.fetch_add(1, Ordering::SeqCst);
        talk.refuse(stream).await?;
        loop {
            let stream = talk.call().await?;
            // What is still under way of the first one comes before.
            if calls.fetch_add(1, Ordering::SeqCst) > 0 {
                talk.answer(stream, &[&[0x10, talk.request.len() as u8]]).await?;
            }
        }
    }
    Raw::play(move |_, talk| talks(talk, Arc::clone(&calls))).await
}

#[tokio::test]
async fn a_stream_is_sent_again_from_its_beginning_and_goes_on() {
    let calls = Arc::new(AtomicUsize::new(0));
    let server = refusing_early(Arc::clone(&calls)).await;
    let mut users = users("refused-stream", &[server.address], &[]);
    let (rows, more) = mpsc::channel::<ImportUsersRequest>(1);
    let rest = stream::unfold(more, |mut more| async move { more.recv().await.map(|row| (row, more)) });
    let first = stream::iter([ImportUsersRequest::default()]);
    let call = tokio::spawn(async move { users.import_users(first.chain(rest)).await });
    until("the first attempt is refused", || calls.load(Ordering::SeqCst) == 1).await;
    rows.send(ImportUsersRequest::default()).await.unwrap();
    drop(rows);
    // The peer answers with how many bytes it got: two messages without fields.
    assert_eq!(call.await.unwrap().unwrap().into_inner().created_count, 10);
}

#[tokio::test]
async fn a_request_that_is_too_large_to_be_kept_is_not_sent_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let server = refusing_early(Arc::clone(&calls)).await;
    let mut users: UserServiceClient<Channel> = users("refused-large", &[server.address], &[]);
    let user = Some(User { user_id: "a".repeat(300 << 10), ..User::default() });
    let status = users.create_user(CreateUserRequest { user }).await.unwrap_err();
    assert_eq!((status.code(), calls.load(Ordering::SeqCst)), (Code::Unavailable, 1));
}
