//! What somebody sees who has made a mistake in a message.

use prost_reflect::DescriptorPool;

use super::*;

/// A contract with every kind of field.
const CONTRACT: &str = r#"
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
message Basket {
  string user_id = 1;
  repeated Line lines = 2;
  map<string, Line> gifts = 3;
  google.protobuf.Timestamp at = 4;
  State state = 5;
  bytes seal = 6;
  repeated int32 numbers = 7;
  int64 total = 8;
}
message Line { string sku = 1; int32 quantity = 2; }
enum State { STATE_UNSPECIFIED = 0; STATE_OPEN = 1; }
"#;

fn basket() -> MessageDescriptor {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.proto"), CONTRACT).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler.include_imports(true).open_files(["shop.proto"]).unwrap();
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap();
    pool.get_message_by_name("shop.v1.Basket").unwrap()
}

fn mistake(json: &str) -> String {
    messages(&[json.to_owned()], &basket()).unwrap_err().to_string()
}

#[track_caller]
fn says(json: &str, expected: &str) {
    let said = mistake(json);
    assert!(said.lines().next().unwrap().contains(expected), "{said}");
}

#[test]
fn messages_follow_one_another() {
    let texts = ["{\"user_id\": \"a\"}\n{\"userId\": \"b\"} {}\n".to_owned(), " ".to_owned(), "{}".to_owned()];
    let messages = messages(&texts, &basket()).unwrap();
    assert_eq!(messages.len(), 4);
    assert_eq!(messages[1].get_field_by_name("user_id").unwrap().as_str(), Some("b"));
}

#[test]
fn the_field_at_fault_is_named_with_what_it_must_be() {
    says(r#"{"lines": [{"quantity": 1}, {"quantity": "many"}]}"#, "lines[1].quantity: must be int32:");
    says(r#"{"gifts": {"tea": {"quantity": true}}}"#, "gifts.tea.quantity: must be int32:");
    says(r#"{"lines": {"sku": "tea"}}"#, "lines: must be a list […] of Line:");
    says(r#"{"numbers": [1, "x"]}"#, "numbers[1]: must be int32:");
    says(r#"{"at": "yesterday"}"#, "at: must be a time such as \"2026-01-31T10:00:00Z\":");
    says(r#"{"state": "OPEN"}"#, "state: must be one of STATE_UNSPECIFIED, STATE_OPEN:");
    says(r#"{"seal": "not base64!"}"#, "seal: must be bytes as base64:");
    says(r#"{"total": 1.5}"#, "total: must be int64:");
    says("[]", "must be the JSON of a Basket:");
    says(r#"{"lines": [7]}"#, "lines[0]: must be the JSON of a Line:");
}

#[test]
fn an_unknown_field_is_told_with_those_that_there_are() {
    says(
        r#"{"lines": [{"quantiy": 1}]}"#,
        "lines[0].quantiy: Line has no such field; did you mean quantity?; it has: sku, quantity",
    );
    says(r#"{"color": 1}"#, "color: Basket has no such field; it has: user_id, lines,");
}

#[test]
fn the_place_is_shown_in_its_line() {
    let said = mistake("{\n  \"user_id\": 7\n}");
    assert_eq!(said.lines().skip(1).collect::<Vec<_>>(), ["  2 |   \"user_id\": 7", "    |              ^"], "{said}");
    let long = format!("{{\"user_id\": \"{}\", \"seal\": 7}}", "é".repeat(200));
    let said = mistake(&long);
    let (line, mark) = (said.lines().nth(1).unwrap(), said.lines().nth(2).unwrap());
    let (line, mark): (Vec<char>, Vec<char>) = (line.chars().collect(), mark.chars().collect());
    assert!(line.len() < 140, "{said}");
    assert_eq!(line[mark.len() - 1], '7', "{said}");
}

#[test]
fn what_is_no_json_is_told_as_that() {
    says("{\"user_id\": ", "not JSON: EOF while parsing");
    says("{user_id: 7}", "the shell has taken the quotes away");
    let said = messages(&["{} {} {".to_owned()], &basket()).unwrap_err().to_string();
    assert!(said.starts_with("--json (message 3): not JSON"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_told_with_its_name() {
    let said = format!("{:#}", read(&["@/no/such.json".to_owned()]).unwrap_err());
    assert!(said.contains("--json @/no/such.json") && said.contains("No such file"), "{said}");
}
