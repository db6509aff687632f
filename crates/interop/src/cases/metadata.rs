//! The case about metadata.

use anyhow::{Context as _, Result, ensure};
use futures_util::stream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request};

use super::Cases;
use super::payloads::{asking_for, check, zeros};
use crate::echo::{INITIAL, TRAILING};
use crate::proto::SimpleRequest;

const INITIAL_VALUE: &str = "test_initial_metadata_value";
const TRAILING_VALUE: &[u8] = &[0xab, 0xab, 0xab];

impl Cases {
    pub(super) async fn custom_metadata(&mut self) -> Result<Code> {
        let message = SimpleRequest { response_size: 1, payload: zeros(1), ..Default::default() };
        let answer = self.client.unary_call(with_metadata(message)).await?;
        check(answer.get_ref().payload.as_ref(), 1)?;
        // Those of a unary answer are together.
        check_initial(answer.metadata())?;
        check_trailing(answer.metadata())?;

        let messages = stream::iter([asking_for(1, zeros(1))]);
        let answer = self.client.full_duplex_call(with_metadata(messages)).await?;
        check_initial(answer.metadata())?;
        let mut answers = answer.into_inner();
        check(answers.message().await?.context("the stream ends too soon")?.payload.as_ref(), 1)?;
        ensure!(answers.message().await?.is_none(), "there are more answers than were asked for");
        check_trailing(&answers.trailers().await?.context("there are no trailers")?)?;
        Ok(Code::Ok)
    }
}

fn with_metadata<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(INITIAL, MetadataValue::from_static(INITIAL_VALUE));
    request.metadata_mut().insert_bin(TRAILING, MetadataValue::from_bytes(TRAILING_VALUE));
    request
}

fn check_initial(metadata: &MetadataMap) -> Result<()> {
    let values: Vec<_> = metadata.get_all(INITIAL).iter().collect();
    ensure!(values == [INITIAL_VALUE], "{INITIAL} is {values:?} in place of {INITIAL_VALUE:?}");
    Ok(())
}

fn check_trailing(metadata: &MetadataMap) -> Result<()> {
    let values = metadata.get_all_bin(TRAILING).iter().map(|value| value.to_bytes());
    let values = values.collect::<Result<Vec<_>, _>>().with_context(|| format!("{TRAILING} is not base64"))?;
    ensure!(values == [TRAILING_VALUE], "{TRAILING} is {values:?} in place of {TRAILING_VALUE:?}");
    Ok(())
}
