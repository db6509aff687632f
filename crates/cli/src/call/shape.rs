//! How messages look: their fields with types and comments, and one to begin with.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use crate::terminal::{BOLD, BUSY, DIM, styled};

/// Messages in messages are shown as deep as this.
const DEPTH_MAX: usize = 6;

/// The type as a contract has it, without its package.
pub(crate) fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.name().to_owned(),
        Kind::Enum(of) => of.name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

/// A method: what it is for, takes and answers.
pub(crate) fn method(method: &MethodDescriptor) -> Vec<String> {
    let mut lines = Vec::new();
    let name = format!("{}/{}", method.parent_service().full_name(), method.name());
    let file = method.parent_file();
    lines.extend(comment(file.file_descriptor_proto(), method.path(), ""));
    lines.push(styled(BOLD, name));
    let stream = |is_stream| if is_stream { "a stream of " } else { "" };
    for (verb, message, is_stream) in [
        ("takes", method.input(), method.is_client_streaming()),
        ("answers", method.output(), method.is_server_streaming()),
    ] {
        lines.push(String::new());
        lines.push(format!("{} {}{}", styled(DIM, verb), stream(is_stream), styled(BOLD, message.full_name())));
        let mut above = vec![message.full_name().to_owned()];
        fields(&message, "  ", &mut above, &mut lines);
    }
    lines
}

fn fields(message: &MessageDescriptor, indent: &str, above: &mut Vec<String>, lines: &mut Vec<String>) {
    let width = message.fields().map(|field| field.name().chars().count()).max().unwrap_or(0);
    for field in message.fields() {
        let file = field.parent_message().parent_file();
        lines.extend(comment(file.file_descriptor_proto(), field.path(), indent));
        let (kind, inner) = typed(&field);
        let of = field.containing_oneof().filter(|one| !one.is_synthetic());
        let of = of.map_or_else(String::new, |one| styled(DIM, format!("  one of {}", one.name())));
        lines.push(format!("{indent}{:width$}  {}{of}", field.name(), styled(BUSY, kind)));
        match inner {
            Some(Kind::Enum(values)) => {
                let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
                lines.push(format!("{indent}  {}", styled(DIM, names.join(" "))));
            }
            Some(Kind::Message(inner)) if is_shown(&inner, above) => {
                above.push(inner.full_name().to_owned());
                fields(&inner, &format!("{indent}  "), above, lines);
                above.pop();
            }
            _ => {}
        }
    }
}

/// Not those of the package that JSON has forms of its own for, nor again what stands above.
fn is_shown(message: &MessageDescriptor, above: &[String]) -> bool {
    let name = message.full_name();
    !name.starts_with("google.protobuf.") && above.len() < DEPTH_MAX && !above.iter().any(|known| known == name)
}

/// The type in words, and what is in it.
fn typed(field: &FieldDescriptor) -> (String, Option<Kind>) {
    let kind = field.kind();
    match &kind {
        Kind::Message(entry) if field.is_map() => {
            let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            (format!("map<{}, {}>", kind_name(&key), kind_name(&value)), Some(value))
        }
        kind => {
            let many = if field.is_list() { "repeated " } else { "" };
            (format!("{many}{}", kind_name(kind)), Some(kind.clone()))
        }
    }
}

/// The comment above something in a contract.
fn comment(file: &prost_reflect::prost_types::FileDescriptorProto, path: &[i32], indent: &str) -> Vec<String> {
    let places = file.source_code_info.as_ref().map_or(&[][..], |info| &info.location);
    let place = places.iter().find(|place| place.path == path);
    let lines = place.map_or("", |place| place.leading_comments()).trim_end().lines();
    lines.map(|line| format!("{indent}{}", styled(DIM, format!("//{line}")))).collect()
}

/// A message with every field, to be filled in, as JSON.
pub(crate) fn example(message: &MessageDescriptor) -> String {
    object(message, &mut vec![message.full_name().to_owned()])
}

fn object(message: &MessageDescriptor, above: &mut Vec<String>) -> String {
    let mut known_ones = Vec::new();
    let mut members = Vec::new();
    for field in message.fields() {
        // Of those that exclude each other, the first.
        if let Some(one) = field.containing_oneof().filter(|one| !one.is_synthetic()) {
            if known_ones.contains(&one.full_name().to_owned()) {
                continue;
            }
            known_ones.push(one.full_name().to_owned());
        }
        let kind = field.kind();
        let value = match &kind {
            Kind::Message(entry) if field.is_map() => {
                value(&entry.map_entry_value_field().kind(), above).map(|value| format!("{{\"\": {value}}}"))
            }
            kind if field.is_list() => value(kind, above).map(|value| format!("[{value}]")),
            kind => value(kind, above),
        };
        members.extend(value.map(|value| format!("\"{}\": {value}", field.name())));
    }
    format!("{{{}}}", members.join(", "))
}

/// Nothing for messages without an end, and for those that JSON has forms of its own for and that are rare.
fn value(kind: &Kind, above: &mut Vec<String>) -> Option<String> {
    let text = match kind {
        Kind::Bool => "false",
        Kind::String | Kind::Bytes => "\"\"",
        Kind::Double | Kind::Float => "0.0",
        Kind::Enum(of) => return of.values().last().map(|value| format!("\"{}\"", value.name())),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "\"2026-01-31T10:00:00Z\"",
            "google.protobuf.Duration" => "\"1s\"",
            "google.protobuf.FieldMask" => "\"\"",
            name if is_shown(message, above) => {
                above.push(name.to_owned());
                let inner = object(message, above);
                above.pop();
                return Some(inner);
            }
            _ => return None,
        },
        _ => "0",
    };
    Some(text.to_owned())
}
