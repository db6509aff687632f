//! Calls to be made many times, each with its number in its messages if they have a place for it.

use std::sync::Arc;

use anyhow::Result;
use prost_reflect::MethodDescriptor;

use super::input;
use super::{Call, Sending};

/// Stands for the number of the call in messages, from 1 on.
const NUMBER: &str = "{{n}}";
/// Stands for one that no call of another run has either.
const ID: &str = "{{id}}";

/// What is sent, call after call.
#[derive(Debug)]
pub(crate) struct Prepared {
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// In turn. At least one.
    Ready(Vec<Arc<Call>>),
    /// Read anew for each call, because it differs.
    Numbered { method: MethodDescriptor, texts: Vec<String>, sending: Sending, run: String },
}

impl Prepared {
    /// Calls with these messages: all of them in each call for a method that takes a stream, else one after another.
    ///
    /// # Errors
    /// If one is no message of the method.
    pub(super) fn try_new(method: MethodDescriptor, texts: Vec<String>, sending: &Sending) -> Result<Self> {
        if texts.iter().any(|text| text.contains(NUMBER) || text.contains(ID)) {
            let run = format!("{:08x}", rand::random::<u32>());
            let source = Source::Numbered { method, texts, sending: sending.clone(), run };
            let prepared = Self { source };
            prepared.call(0)?;
            return Ok(prepared);
        }
        if method.is_client_streaming() || texts.is_empty() {
            return Ok(Self { source: Source::Ready(vec![Arc::new(Call::try_new(&method, &texts, sending)?)]) });
        }
        let messages = input::messages(&texts, &method.input())?;
        anyhow::ensure!(!messages.is_empty(), "--json has no message");
        let calls =
            messages.iter().map(|message| Ok(Arc::new(Call::of(&method, std::slice::from_ref(message), sending)?)));
        Ok(Self { source: Source::Ready(calls.collect::<Result<_>>()?) })
    }

    /// The call of this number, from 0 on.
    ///
    /// # Errors
    /// If the message is none with that number in it, where it is with another.
    pub(crate) fn call(&self, number: u64) -> Result<Arc<Call>> {
        match &self.source {
            Source::Ready(calls) => Ok(Arc::clone(&calls[usize::try_from(number).unwrap_or_default() % calls.len()])),
            Source::Numbered { method, texts, sending, run } => {
                let (number, id) = ((number + 1).to_string(), format!("{run}-{}", number + 1));
                let filled = |text: &String| text.replace(NUMBER, &number).replace(ID, &id);
                let texts: Vec<String> = texts.iter().map(filled).collect();
                Ok(Arc::new(Call::try_new(method, &texts, sending)?))
            }
        }
    }
}
