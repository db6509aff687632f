//! Headers that the user adds to a call.

use std::borrow::Cow;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tonic::Status;
use tonic::metadata::{Ascii, Binary, MetadataKey, MetadataMap, MetadataValue};

/// What gRPC and HTTP/2 themselves say in headers.
const RESERVED: [&str; 4] = ["te", "content-type", "user-agent", "host"];

/// `name: value`; the value of a name that ends in `-bin` is base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    name: Cow<'static, str>,
    value: Cow<'static, str>,
}

impl Header {
    pub(crate) const fn new(name: &'static str, value: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), value: Cow::Borrowed(value) }
    }

    pub(crate) fn owned(name: &'static str, value: String) -> Self {
        Self { name: Cow::Borrowed(name), value: Cow::Owned(value) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    fn add(&self, metadata: &mut MetadataMap) -> Result<(), String> {
        let bad_name = |_| format!("{:?} is no name of a header", self.name);
        if self.name.ends_with("-bin") {
            let key = MetadataKey::<Binary>::from_bytes(self.name.as_bytes()).map_err(bad_name)?;
            let bytes = STANDARD.decode(self.value.as_bytes());
            let bytes = bytes.map_err(|error| format!("the value of {} must be base64: {error}", self.name))?;
            metadata.append_bin(key, MetadataValue::from_bytes(&bytes));
        } else {
            let key = MetadataKey::<Ascii>::from_bytes(self.name.as_bytes()).map_err(bad_name)?;
            let value = MetadataValue::try_from(self.value.as_ref());
            let value = value.map_err(|_| format!("the value of {} must be visible ASCII", self.name))?;
            metadata.append(key, value);
        }
        Ok(())
    }
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("write NAME: VALUE, as in 'authorization: Bearer …'")?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        if name.starts_with("grpc-") || RESERVED.contains(&name.as_str()) {
            let instead = if name == "grpc-timeout" { "; say it with --timeout" } else { "" };
            return Err(format!("{name} is set by gRPC itself{instead}"));
        }
        let header = Self { name: name.into(), value: value.into() };
        header.add(&mut MetadataMap::new())?;
        Ok(header)
    }
}

/// Adds the headers to those of a call.
///
/// # Errors
/// If one cannot stand in headers; one that was parsed can.
pub(crate) fn add<'a>(metadata: &mut MetadataMap, headers: impl IntoIterator<Item = &'a Header>) -> Result<(), Status> {
    headers.into_iter().try_for_each(|header| header.add(metadata)).map_err(Status::invalid_argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        Header::from_str(text).unwrap_err()
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let header: Header = "Authorization:  Bearer a:b".parse().unwrap();
        assert_eq!((header.name(), header.value()), ("authorization", "Bearer a:b"));
        let mut metadata = MetadataMap::new();
        add(&mut metadata, &[header, "trace-bin: AQI=".parse().unwrap()]).unwrap();
        assert_eq!(metadata.get("authorization").unwrap(), "Bearer a:b");
        assert_eq!(metadata.get_bin("trace-bin").unwrap().to_bytes().unwrap().as_ref(), [1, 2]);
    }

    #[test]
    fn what_cannot_be_sent_is_told_with_its_cause() {
        assert!(mistake("authorization").contains("write NAME: VALUE"));
        assert!(mistake("grpc-timeout: 1S").contains("--timeout"));
        assert!(mistake("content-type: text/plain").contains("gRPC itself"));
        assert!(mistake("a b: c").contains("no name of a header"));
        assert!(mistake("a: ü\u{7}").contains("visible ASCII"));
        assert!(mistake("a-bin: not base64!").contains("must be base64"));
    }
}
