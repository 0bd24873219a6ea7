//! The frames of HTTP/2, for peers by hand.

/// A frame with data.
pub const DATA: u8 = 0;
/// A frame with headers.
pub const HEADERS: u8 = 1;
/// A frame that resets a stream.
pub const RST_STREAM: u8 = 3;
/// A frame that announces the end of the connection.
pub const GOAWAY: u8 = 7;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The head of a received frame.
pub(crate) struct FrameHead {
    /// The length of the payload.
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl FrameHead {
    pub(crate) fn read(head: [u8; 9]) -> Self {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        Self {
            length: usize::try_from(length).expect("24 bits"),
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        }
    }
}

/// Returns the bytes of a frame.
///
/// # Panics
///
/// For a payload that is too large.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small payload");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
