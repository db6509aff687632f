//! CreateUser.

use seawall_proto::seawall::user::v1::{CreateUserRequest, GetUserRequest, User};
use seawall_testkit::Refusal;
use tonic::Code;

use crate::harness::{about_user, chosen, create, on_each_engine, refusal};

#[tokio::test]
async fn a_created_user_has_what_was_chosen_and_what_is_assigned() {
    on_each_engine(async |client| {
        let asked = User { user_id: "mine".into(), etag: "mine".into(), ..chosen("Ann@Example.com", "Ann Ångström") };
        let answer = client.clone().create_user(CreateUserRequest { user: Some(asked) }).await.unwrap();
        let user = answer.into_inner().user.unwrap();
        assert_eq!((user.email.as_str(), user.display_name.as_str()), ("Ann@Example.com", "Ann Ångström"));
        // The 15th character of a UUID is its version.
        assert_eq!((user.user_id.len(), user.user_id.as_bytes()[14]), (36, b'7'));
        assert!(!user.etag.is_empty() && user.etag != "mine");
        assert!(user.create_time.is_some_and(|time| time.seconds > 1_700_000_000));
        assert_eq!(user.create_time, user.update_time);

        let request = GetUserRequest { user_id: user.user_id.clone() };
        assert_eq!(client.clone().get_user(request).await.unwrap().into_inner().user, Some(user));
    })
    .await;
}

#[tokio::test]
async fn every_bad_field_is_named() {
    on_each_engine(async |client| {
        for user in [None, Some(User::default()), Some(chosen("ann", "\0"))] {
            let answer = client.clone().create_user(CreateUserRequest { user }).await;
            assert_eq!(refusal(answer), Refusal::bad(&["user.email", "user.display_name"]));
        }
    })
    .await;
}

#[tokio::test]
async fn an_email_is_taken_in_any_case() {
    on_each_engine(async |client| {
        create(&client, "Ann@example.com").await;
        let request = CreateUserRequest { user: Some(chosen("aNN@EXAMPLE.com", "Another")) };
        let taken = about_user(Code::AlreadyExists, "EMAIL_TAKEN", "aNN@EXAMPLE.com");
        assert_eq!(refusal(client.clone().create_user(request).await), taken);
    })
    .await;
}

#[tokio::test]
async fn of_many_who_want_one_email_one_gets_it() {
    on_each_engine(async |client| {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let mut client = client.clone();
            let request = CreateUserRequest { user: Some(chosen("ann@example.com", "Ann")) };
            calls.spawn(async move { client.create_user(request).await });
        }
        let (created, refused): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((created.len(), refused.len()), (1, 19));
        for answer in refused {
            assert_eq!(refusal(answer), about_user(Code::AlreadyExists, "EMAIL_TAKEN", "ann@example.com"));
        }
    })
    .await;
}
