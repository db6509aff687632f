//! ImportUsers.

use std::time::Duration;

use seawall_proto::seawall::user::v1::import_user_result::Result as Outcome;
use seawall_proto::seawall::user::v1::{
    ImportUserResult, ImportUsersRequest, ImportUsersResponse, ListUsersRequest, User,
};
use seawall_testkit::Refusal;
use tonic::{Code, Status};

use crate::harness::{Client, chosen, create, on_each_engine, refusal};

async fn import(client: &Client, users: Vec<User>) -> Result<ImportUsersResponse, Status> {
    let rows = tokio_stream::iter(users.into_iter().map(|user| ImportUsersRequest { user: Some(user) }));
    client.clone().import_users(rows).await.map(tonic::Response::into_inner)
}

/// How many users there are, up to 1,000.
async fn count(client: &Client) -> usize {
    let request = ListUsersRequest { page_size: 1_000, page_token: String::new() };
    client.clone().list_users(request).await.unwrap().into_inner().users.len()
}

/// The code, reason and bad fields of each row: OK for a created one.
fn outcomes(results: &[ImportUserResult]) -> Vec<(Code, &str, Vec<&str>)> {
    let mut all = Vec::new();
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.row, n as i32);
        all.push(match result.result.as_ref().unwrap() {
            Outcome::UserId(_) => (Code::Ok, "", vec![]),
            Outcome::Error(error) => {
                let fields = error.field_violations.iter().map(|violation| violation.field.as_str()).collect();
                (Code::from_i32(error.code), error.reason.as_str(), fields)
            }
        });
    }
    all
}

#[tokio::test]
async fn a_bad_row_does_not_spoil_the_others() {
    on_each_engine(async |client| {
        create(&client, "used@example.com").await;
        let rows = vec![
            chosen("zoe@example.com", "Zoe"),
            chosen("no address", ""),
            chosen("Used@example.com", "Somebody else"),
            chosen("ann@example.com", "Ann"),
            chosen("ANN@example.com", "Ann again"),
            User::default(),
            chosen("bob@example.com", "Bob"),
        ];
        let answer = import(&client, rows).await.unwrap();
        let (ok, taken) = ((Code::Ok, "", vec![]), (Code::AlreadyExists, "EMAIL_TAKEN", vec![]));
        let bad = (Code::InvalidArgument, "BAD_REQUEST", vec!["user.email", "user.display_name"]);
        let expected = [ok.clone(), bad.clone(), taken.clone(), ok.clone(), taken, bad, ok];
        assert_eq!(outcomes(&answer.results), expected);
        assert_eq!((answer.created_count, answer.failed_count), (3, 4));
        assert_eq!(count(&client).await, 4);
    })
    .await;
}

#[tokio::test]
async fn an_empty_import_creates_nobody() {
    on_each_engine(async |client| {
        assert_eq!(import(&client, vec![]).await.unwrap(), ImportUsersResponse::default());
    })
    .await;
}

#[tokio::test]
async fn one_row_too_many_is_refused_and_the_batches_before_it_stay() {
    on_each_engine(async |client| {
        let many = |count| (0..count).map(|n| chosen(&format!("user{n}@example.com"), "U")).collect::<Vec<_>>();
        let too_large = Refusal {
            code: Code::ResourceExhausted,
            reason: "IMPORT_TOO_LARGE".into(),
            fields: vec![],
            resource: None,
        };
        assert_eq!(refusal(import(&client, many(10_001)).await), too_large);
        // The same import without the row too many finds every email in use.
        let answer = import(&client, many(10_000)).await.unwrap();
        assert_eq!((answer.results.len(), answer.created_count, answer.failed_count), (10_000, 0, 10_000));
    })
    .await;
}

#[tokio::test]
async fn of_a_stream_that_breaks_off_the_complete_batches_stay() {
    on_each_engine(async |client| {
        let (rows, stream) = tokio::sync::mpsc::channel(200);
        for n in 0..150 {
            let user = Some(chosen(&format!("user{n}@example.com"), "U"));
            rows.send(ImportUsersRequest { user }).await.unwrap();
        }
        let mut importer = client.clone();
        let call =
            tokio::spawn(
                async move { importer.import_users(tokio_stream::wrappers::ReceiverStream::new(stream)).await },
            );
        tokio::time::timeout(Duration::from_secs(20), async {
            while count(&client).await < 100 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        // Row 120 was sent, and is not stored: its email is free.
        create(&client, "user120@example.com").await;
        assert_eq!(count(&client).await, 101);
        drop(rows);
    })
    .await;
}

/// Each row of one import waits for the other's transaction, if not for the order of emails.
#[tokio::test]
async fn imports_of_the_same_emails_in_opposite_order_do_not_block_each_other() {
    on_each_engine(async |client| {
        let forth: Vec<_> = (0..1_000).map(|n| chosen(&format!("user{n:03}@example.com"), "U")).collect();
        let back: Vec<_> = forth.chunks(100).flat_map(|batch| batch.iter().rev().cloned()).collect();
        let (forth, back) = tokio::join!(import(&client, forth), import(&client, back));
        assert_eq!(forth.unwrap().created_count + back.unwrap().created_count, 1_000);
    })
    .await;
}
