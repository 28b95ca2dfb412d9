//! Chunked bodies without anything that two parsers could read in two ways: no extensions, no
//! trailers, no blanks, no leading zeros without end.

use super::head::Refusal;

/// A chunk of more than 4 GiB has more digits.
const DIGITS: u32 = 8;

/// Where in a chunked body a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In a line that says how long the next chunk is.
    Size { size: u64, digits: u32 },
    /// Before that line's LF.
    SizeEnd { size: u64 },
    /// In a chunk's data.
    Data { left: u64 },
    /// Before the CR after a chunk's data, or after the last chunk.
    End { last: bool },
    /// Before the LF.
    EndLf { last: bool },
    /// Behind the whole body.
    Done,
}

impl Chunks {
    pub(super) const START: Self = Self::Size { size: 0, digits: 0 };

    /// Reads on; how many bytes belong to the body.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut at = 0;
        while at < bytes.len() && *self != Self::Done {
            if let Self::Data { left } = self {
                let here = u64::try_from(bytes.len() - at)
                    .unwrap_or(u64::MAX)
                    .min(*left);
                *left -= here;
                at += usize::try_from(here).unwrap_or(usize::MAX);
                if *left == 0 {
                    *self = Self::End { last: false };
                }
            } else {
                *self = self.next(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn next(self, byte: u8) -> Result<Self, Refusal> {
        Ok(match (self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                Self::Size {
                    size: size * 16 + u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeEnd { size },
            (Self::SizeEnd { size: 0 }, b'\n') => Self::End { last: true },
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::End { last }, b'\r') => Self::EndLf { last },
            (Self::EndLf { last: false }, b'\n') => Self::START,
            (Self::EndLf { last: true }, b'\n') => Self::Done,
            _ => return Err(Refusal::Malformed("a chunk")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(usize, bool), Refusal> {
        let mut chunks = Chunks::START;
        let taken = chunks.take(text.as_bytes())?;
        Ok((taken, chunks == Chunks::Done))
    }

    #[test]
    fn a_body_ends_where_it_ends() {
        assert_eq!(read("3\r\nabc\r\n0\r\n\r\nGET /"), Ok((13, true)));
        assert_eq!(read("0\r\n\r\n"), Ok((5, true)));
        assert_eq!(read("3\r\nab"), Ok((5, false)));
    }

    #[test]
    fn whatever_can_be_read_in_two_ways_is_refused() {
        for body in [
            "3;a=b\r\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "-3\r\nabc\r\n0\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            "3\nabc\n0\n\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "123456789\r\n",
            "000000000\r\n",
            "0\r\nX: y\r\n\r\n",
            "0\r\n\n",
        ] {
            assert!(read(body).is_err(), "{body:?}");
        }
    }
}
