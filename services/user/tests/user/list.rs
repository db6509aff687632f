//! ListUsers.

use seawall_proto::seawall::user::v1::{ListUsersRequest, ListUsersResponse};
use seawall_testkit::Refusal;
use tonic::Status;

use crate::harness::{Client, create, on_each_engine, refusal};

async fn page(client: &Client, page_size: i32, page_token: &str) -> Result<ListUsersResponse, Status> {
    let request = ListUsersRequest { page_size, page_token: page_token.into() };
    client.clone().list_users(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn pages_show_every_user_once_oldest_first_while_others_come() {
    on_each_engine(async |client| {
        let mut expected = Vec::new();
        for n in 0..5 {
            expected.push(create(&client, &format!("ann{n}@example.com")).await);
        }
        let (mut seen, mut token) = (Vec::new(), String::new());
        for n in 5.. {
            let page = page(&client, 2, &token).await.unwrap();
            assert!(page.users.len() == 2 || page.next_page_token.is_empty());
            seen.extend(page.users);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
            if n < 8 {
                expected.push(create(&client, &format!("ann{n}@example.com")).await);
            }
        }
        assert_eq!(seen, expected);
        assert_eq!(seen.len(), 8);
    })
    .await;
}

#[tokio::test]
async fn the_last_page_says_so_even_when_it_is_full() {
    on_each_engine(async |client| {
        assert_eq!(page(&client, 0, "").await.unwrap(), ListUsersResponse::default());
        for n in 0..51 {
            create(&client, &format!("ann{n}@example.com")).await;
        }
        let full = page(&client, 51, "").await.unwrap();
        assert_eq!((full.users.len(), full.next_page_token.as_str()), (51, ""));
        let default = page(&client, 0, "").await.unwrap();
        assert_eq!(default.users.len(), 50);
        let last = page(&client, 0, &default.next_page_token).await.unwrap();
        assert_eq!((last.users.len(), last.next_page_token.as_str()), (1, ""));
    })
    .await;
}

#[tokio::test]
async fn a_forged_token_and_a_wrong_size_are_bad() {
    on_each_engine(async |client| {
        assert_eq!(refusal(page(&client, -1, "forged").await), Refusal::bad(&["page_size", "page_token"]));
        assert_eq!(refusal(page(&client, 1_001, "").await), Refusal::bad(&["page_size"]));
    })
    .await;
}
