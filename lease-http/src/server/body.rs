use std::pin::pin;
use std::time::Duration;

use bytes::Buf;
use http_body::Body;
use http_body_util::BodyExt;

use super::within::within;
use crate::messages::{MAX_REQUEST_LEN, Reply};

/// Reads the body of a request as a whole.
///
/// # Errors
///
/// The reply for one that is too large, as soon as that is known, or that does not come in time.
pub(super) async fn read_body<B: Body>(body: B, time: Duration) -> Result<Vec<u8>, Reply> {
    if body.size_hint().lower() > MAX_REQUEST_LEN as u64 {
        return Err(Reply::too_large());
    }
    let read = within(time, collect(body)).await;
    read.unwrap_or_else(|_| Err(Reply::unreadable()))
}

async fn collect<B: Body>(body: B) -> Result<Vec<u8>, Reply> {
    let mut body = pin!(body);
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Reply::unreadable())?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        if data.remaining() > MAX_REQUEST_LEN - whole.len() {
            return Err(Reply::too_large());
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            whole.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Ok(whole)
}
