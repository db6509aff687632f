//! Fields of messages, as they are said on the command line.

use std::str::FromStr;

use anyhow::{Error, Result, bail};

use crate::new::name::KEYWORDS;

/// The types that protobuf has itself.
const SCALARS: [&str; 15] = [
    "bool", "bytes", "double", "fixed32", "fixed64", "float", "int32", "int64", "sfixed32", "sfixed64", "sint32",
    "sint64", "string", "uint32", "uint64",
];

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) is_repeated: bool,
}

impl Field {
    /// Whether it is text, of which there is one.
    pub(super) fn is_text(&self) -> bool {
        self.kind == "string" && !self.is_repeated
    }
}

impl FromStr for Field {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((name, kind)) = text.split_once(':') else { bail!("take NAME:TYPE, such as item_id:string") };
        let is_snake = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_snake || KEYWORDS.contains(&name) {
            bail!("{name:?} cannot be the name of a field; take lower-case letters, digits and _, such as item_id");
        }
        let (kind, is_repeated) = kind.strip_prefix("[]").map_or((kind, false), |kind| (kind, true));
        let is_message =
            kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_message && !SCALARS.contains(&kind) {
            bail!(
                "{kind:?} is no type; take a message of the contract, such as Item, or one of {}",
                SCALARS.join(", ")
            );
        }
        Ok(Self { name: name.to_owned(), kind: kind.to_owned(), is_repeated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_name_and_a_type() {
        let field = |name: &str, kind: &str, is_repeated| Field { name: name.into(), kind: kind.into(), is_repeated };
        assert_eq!("item_id:string".parse::<Field>().unwrap(), field("item_id", "string", false));
        assert_eq!("items:[]Item".parse::<Field>().unwrap(), field("items", "Item", true));
        for bad in ["item_id", "itemId:string", "type:string", "a:text", "a:", ":string", "a:[]", "a b:string", "a:I;"]
        {
            assert!(bad.parse::<Field>().is_err(), "{bad}");
        }
    }
}
