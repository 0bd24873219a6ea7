//! Messages of the runner on standard input and output: the length as a big-endian `u32`, then
//! protobuf.

use std::io::{self, Read, Write};

use prost::Message;

/// The largest message that is read, in bytes. The runner sends at most 16 MiB.
const LIMIT: u32 = 16 << 20;

/// Reads a message. Returns `None` at the end of the input.
///
/// # Errors
///
/// Fails if the input cannot be read, ends within a message, or is not a message of this type.
pub fn read<M: Message + Default>(input: &mut impl Read) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match input.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => input.read_exact(&mut length[1..])?,
    }
    let length = u32::from_be_bytes(length);
    if length > LIMIT {
        let text = format!("the runner sent a message of {length} bytes, expected at most {LIMIT}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut message = vec![0; length.try_into().map_err(io::Error::other)?];
    input.read_exact(&mut message)?;
    Ok(Some(M::decode(&message[..])?))
}

/// Writes a message.
///
/// # Errors
///
/// Fails if the output cannot be written.
pub fn write(output: &mut impl Write, message: &impl Message) -> io::Result<()> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    output.write_all(&length.to_be_bytes())?;
    output.write_all(&message)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Header;

    #[test]
    fn messages_arrive_in_order() {
        let header = |name: &str| Header {
            name: name.to_owned(),
            value: vec!["1".to_owned()],
        };
        let mut pipe = Vec::new();
        write(&mut pipe, &header("x-a")).unwrap();
        write(&mut pipe, &header("x-b")).unwrap();
        let mut input = &pipe[..];
        for name in ["x-a", "x-b"] {
            assert_eq!(read::<Header>(&mut input).unwrap(), Some(header(name)));
        }
        assert_eq!(read::<Header>(&mut input).unwrap(), None);
    }

    #[test]
    fn half_a_message_is_an_error() {
        let mut pipe = Vec::new();
        write(&mut pipe, &Header::default()).unwrap();
        pipe.extend([0, 0, 0]);
        let mut input = &pipe[..];
        assert!(read::<Header>(&mut input).unwrap().is_some());
        assert!(read::<Header>(&mut input).is_err());
        assert!(read::<Header>(&mut &[0xff; 8][..]).is_err());
    }
}
