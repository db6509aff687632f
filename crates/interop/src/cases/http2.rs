//! Cases about servers that use HTTP/2 in ways that are allowed and rare.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use tonic::Code;

use super::Cases;
use super::payloads::large;

/// How long the client has to see a GOAWAY before its next call.
const GOAWAY_WAIT: Duration = Duration::from_secs(1);
/// How many calls are made at once where one is allowed at a time.
const CALLS: usize = 15;

impl Cases {
    pub(super) async fn goaway(&mut self) -> Result<Code> {
        self.large_unary().await.context("before GOAWAY")?;
        tokio::time::sleep(GOAWAY_WAIT).await;
        self.large_unary().await.context("after GOAWAY")
    }

    /// The case leaves open which error it is.
    pub(super) async fn reset(&mut self) -> Result<Code> {
        match self.client.unary_call(large()).await {
            Err(status) => Ok(status.code()),
            Ok(_) => bail!("was answered, although the server reset the call"),
        }
    }

    pub(super) async fn max_streams(&mut self) -> Result<Code> {
        // By then the server has said how many it allows.
        self.large_unary().await.context("the first call")?;
        let calls = (0..CALLS).map(|_| {
            let mut cases = self.clone();
            async move { cases.large_unary().await }
        });
        try_join_all(calls).await?;
        Ok(Code::Ok)
    }
}
