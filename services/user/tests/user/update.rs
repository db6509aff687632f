//! UpdateUser.

use prost_types::FieldMask;
use seawall_proto::seawall::user::v1::{UpdateUserRequest, User};
use seawall_testkit::Refusal;
use tonic::{Code, Status};

use crate::harness::{Client, about_user, chosen, create, on_each_engine, refusal, stale};

async fn update(client: &Client, user: User, paths: &[&str]) -> Result<User, Status> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = UpdateUserRequest { user: Some(user), update_mask: Some(FieldMask { paths }) };
    Ok(client.clone().update_user(request).await?.into_inner().user.unwrap())
}

#[tokio::test]
async fn a_mask_says_what_changes() {
    on_each_engine(async |client| {
        let first = create(&client, "ann@example.com").await;
        let new = User { user_id: first.user_id.clone(), ..chosen("Zoe@example.com", "Zoe") };

        let renamed = update(&client, new.clone(), &["display_name"]).await.unwrap();
        assert_eq!((renamed.email.as_str(), renamed.display_name.as_str()), ("ann@example.com", "Zoe"));
        assert_ne!(renamed.etag, first.etag);
        assert_eq!(renamed.create_time, first.create_time);

        let moved = update(&client, new.clone(), &["email"]).await.unwrap();
        assert_eq!((moved.email.as_str(), moved.display_name.as_str()), ("Zoe@example.com", "Zoe"));
        // Her own email in another case is not somebody else's.
        let lower = User { user_id: first.user_id.clone(), ..chosen("zoe@example.com", "Zoë") };
        let both = update(&client, lower, &["*"]).await.unwrap();
        assert_eq!((both.email.as_str(), both.display_name.as_str()), ("zoe@example.com", "Zoë"));

        // Without a mask: the fields that are not empty.
        let named = update(&client, User { user_id: first.user_id.clone(), ..chosen("", "Zoe") }, &[]).await.unwrap();
        assert_eq!((named.email.as_str(), named.display_name.as_str()), ("zoe@example.com", "Zoe"));
    })
    .await;
}

#[tokio::test]
async fn every_bad_field_is_named() {
    on_each_engine(async |client| {
        let user = User { user_id: "x".into(), ..chosen("y", "") };
        let refused = refusal(update(&client, user.clone(), &["*", "user_id"]).await);
        assert_eq!(refused, Refusal::bad(&["user.user_id", "update_mask.paths[1]", "user.email", "user.display_name"]));
        // What the mask does not name is not read.
        let refused = refusal(update(&client, user, &["display_name"]).await);
        assert_eq!(refused, Refusal::bad(&["user.user_id", "user.display_name"]));
        let nothing = UpdateUserRequest::default();
        assert_eq!(refusal(client.clone().update_user(nothing).await), Refusal::bad(&["user.user_id", "update_mask"]));
    })
    .await;
}

#[tokio::test]
async fn a_stale_etag_changes_nothing_and_none_changes_always() {
    on_each_engine(async |client| {
        let first = create(&client, "ann@example.com").await;
        let second =
            update(&client, User { display_name: "B".into(), ..first.clone() }, &["display_name"]).await.unwrap();
        for etag in [first.etag.as_str(), "made up", "0", &format!("0{}", second.etag)] {
            let late = User { display_name: "C".into(), etag: etag.into(), ..first.clone() };
            assert_eq!(refusal(update(&client, late, &["display_name"]).await), stale(), "{etag}");
        }
        let third = User { display_name: "C".into(), etag: String::new(), ..first.clone() };
        assert_eq!(update(&client, third, &["display_name"]).await.unwrap().display_name, "C");
    })
    .await;
}

#[tokio::test]
async fn of_many_with_one_etag_one_wins() {
    on_each_engine(async |client| {
        let user = create(&client, "ann@example.com").await;
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..20 {
            let (client, user) = (client.clone(), User { display_name: format!("Ann {n}"), ..user.clone() });
            calls.spawn(async move { update(&client, user, &["display_name"]).await });
        }
        let (changed, refused): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((changed.len(), refused.len()), (1, 19));
        for answer in refused {
            assert_eq!(refusal(answer), stale());
        }
    })
    .await;
}

#[tokio::test]
async fn a_used_email_and_an_unknown_user_are_refused() {
    on_each_engine(async |client| {
        create(&client, "ann@example.com").await;
        let bob = create(&client, "bob@example.com").await;
        let taken = User { user_id: bob.user_id.clone(), ..chosen("ANN@example.com", "") };
        let refused = refusal(update(&client, taken, &["email"]).await);
        assert_eq!(refused, about_user(Code::AlreadyExists, "EMAIL_TAKEN", "ANN@example.com"));

        let nobody = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
        let refused = refusal(update(&client, User { user_id: nobody.into(), ..bob }, &["email"]).await);
        assert_eq!(refused, about_user(Code::NotFound, "USER_NOT_FOUND", nobody));
    })
    .await;
}
