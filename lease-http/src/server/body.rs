use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Buf;
use http::HeaderMap;
use http::header::EXPECT;
use http_body::Body;
use http_body_util::BodyExt;

use super::within::within;
use crate::messages::{MAX_REQUEST_LEN, Outcome, Reply};

/// Reads the body of a request as a whole.
///
/// Whoever sends one that is too large may be writing still, and would find its connection broken
/// instead of an answer. So what comes of it is read and dropped, within bounds.
///
/// # Errors
///
/// The reply for one that is too large, or that does not come in time.
pub(super) async fn read_body<B: Body>(
    headers: &HeaderMap,
    body: B,
    time: Duration,
) -> Result<Vec<u8>, Reply> {
    let mut body = pin!(body);
    let size = body.size_hint().lower();
    let read = if size > MAX_REQUEST_LEN as u64 {
        Err(Reply::too_large())
    } else {
        let read = within(time, collect(body.as_mut())).await;
        read.unwrap_or_else(|_| Err(Reply::unreadable()))
    };
    // Who expects to be told whether to send it waits for the answer.
    let is_sent = size <= MAX_DRAINED as u64 && !headers.contains_key(EXPECT);
    if is_sent && matches!(&read, Err(refusal) if refusal.outcome() == Outcome::TooLarge) {
        let _ = within(time.min(DRAIN_TIME), drain(body)).await;
    }
    read
}

async fn collect<B: Body>(mut body: Pin<&mut B>) -> Result<Vec<u8>, Reply> {
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
        if body.is_end_stream() {
            break;
        }
    }
    Ok(whole)
}

/// Reads until the body ends or breaks, or there was enough of it.
async fn drain<B: Body>(mut body: Pin<&mut B>) {
    let mut left = MAX_DRAINED;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Buf::remaining);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return,
        }
    }
}

/// How much of a body that is too large is read.
const MAX_DRAINED: usize = 16 * MAX_REQUEST_LEN;

/// For how long.
const DRAIN_TIME: Duration = Duration::from_secs(1);
