//! What a request's head may look like on an HTTP/1 connection, stricter than RFC 9112 has to be:
//! whatever two parsers could read in two ways is refused.

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of the request line.
    pub line: usize,
    /// Bytes of all header lines together.
    pub headers: usize,
    /// Header lines.
    pub lines: usize,
}

/// Why a request is refused before it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: two parsers could differ about it.
    Malformed(&'static str),
    /// 414.
    LineTooLong,
    /// 431.
    HeadersTooLarge,
}

/// How the body that follows is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes, often none.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Longer methods are nobody's.
const LONGEST_METHOD: usize = 16;
/// Ten to the 18th is more than any body.
const LONGEST_LENGTH: usize = 18;

/// Looks at the first `buffer.len()` bytes of a head: `None` while it is not complete. `from` is
/// how far an earlier call, which found it incomplete, has looked.
pub(super) fn scan(
    buffer: &[u8],
    from: usize,
    bounds: Bounds,
) -> Result<Option<(usize, Framing)>, Refusal> {
    let Some(length) = end_of_head(buffer, from)? else {
        let line = buffer.windows(2).position(|two| two == b"\r\n");
        return match line {
            // The line's CR, and the head's last line ends, may be there already.
            None if buffer.len() > bounds.line + 1 => Err(Refusal::LineTooLong),
            Some(line) if line > bounds.line => Err(Refusal::LineTooLong),
            Some(line) if buffer.len() - line > bounds.headers + 4 => Err(Refusal::HeadersTooLarge),
            _ => Ok(None),
        };
    };
    // Without the last two line ends.
    let mut lines = lines(&buffer[..length - 4]);
    let line = lines.next().unwrap_or_default();
    if line.len() > bounds.line {
        return Err(Refusal::LineTooLong);
    }
    if length - 4 - line.len() > bounds.headers {
        return Err(Refusal::HeadersTooLarge);
    }
    let request = request_line(line)?;
    let mut seen = Seen::default();
    for (n, line) in lines.enumerate() {
        if n >= bounds.lines {
            return Err(Refusal::HeadersTooLarge);
        }
        seen.header(line)?;
    }
    seen.framing(request).map(|framing| Some((length, framing)))
}

/// The index after the empty line. Bare CR or LF and control characters are refused on the way.
fn end_of_head(buffer: &[u8], from: usize) -> Result<Option<usize>, Refusal> {
    // An earlier look may have ended inside of a line's end.
    let from = from.saturating_sub(3);
    for (at, byte) in buffer.iter().copied().enumerate().skip(from) {
        match byte {
            b'\n' if at == 0 || buffer[at - 1] != b'\r' => {
                return Err(Refusal::Malformed("a line ends with LF alone"));
            }
            b'\n' if buffer[..=at].ends_with(b"\r\n\r\n") => return Ok(Some(at + 1)),
            b'\r' if buffer.get(at + 1).is_some_and(|next| *next != b'\n') => {
                return Err(Refusal::Malformed("a CR without LF"));
            }
            b'\r' | b'\n' | b'\t' => {}
            0..=31 | 127 => return Err(Refusal::Malformed("a control character")),
            _ => {}
        }
    }
    Ok(None)
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Every LF follows a CR by now.
    head.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[derive(Clone, Copy)]
struct RequestLine {
    is_http_11: bool,
}

fn request_line(line: &[u8]) -> Result<RequestLine, Refusal> {
    let wrong = |why| Err(Refusal::Malformed(why));
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return wrong("the request line has not three parts");
    };
    let is_method = !method.is_empty()
        && method.len() <= LONGEST_METHOD
        && method.iter().all(|b| b.is_ascii_uppercase() || *b == b'-');
    if !is_method || method == b"CONNECT" {
        return wrong("the method");
    }
    let is_origin_form = target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS");
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    // A fragment is the browser's own. Browsers leave some of what RFC 3986 has no place for as it
    // is in a query (WHATWG URL, "query percent-encode set"), and nothing of it in a path.
    let is_plain = target
        .iter()
        .all(|b| b.is_ascii_graphic() && !b"#\"<>".contains(b))
        && !path.iter().any(|b| b"\\^`{|}".contains(b));
    if !is_origin_form || !is_plain {
        return wrong("the target");
    }
    match version {
        b"HTTP/1.1" => Ok(RequestLine { is_http_11: true }),
        b"HTTP/1.0" => Ok(RequestLine { is_http_11: false }),
        _ => wrong("the version"),
    }
}

/// The header lines that say where a request ends and whom it is for.
#[derive(Default)]
struct Seen {
    hosts: u32,
    length: Option<u64>,
    is_chunked: bool,
}

impl Seen {
    fn header(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let wrong = |why| Err(Refusal::Malformed(why));
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return wrong("a folded header line");
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return wrong("a header line without a colon");
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return wrong("a header's name");
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            if self.hosts > 1 || value.is_empty() || !value.iter().copied().all(is_of_host) {
                return wrong("Host");
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return wrong("two Content-Length");
            }
            self.length = Some(length(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return wrong("Transfer-Encoding");
            }
            self.is_chunked = true;
        }
        Ok(())
    }

    fn framing(self, request: RequestLine) -> Result<Framing, Refusal> {
        let wrong = |why| Err(Refusal::Malformed(why));
        match (self.is_chunked, self.length) {
            _ if request.is_http_11 && self.hosts == 0 => wrong("no Host"),
            (true, Some(_)) => wrong("Content-Length and Transfer-Encoding"),
            (true, None) if !request.is_http_11 => wrong("Transfer-Encoding in HTTP/1.0"),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

fn length(value: &[u8]) -> Result<u64, Refusal> {
    let is_number = (1..=LONGEST_LENGTH).contains(&value.len());
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok();
    text.filter(|_| is_number && digits)
        .and_then(|text| text.parse().ok())
        .ok_or(Refusal::Malformed("Content-Length"))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        line: 64,
        headers: 128,
        lines: 4,
    };

    fn scanned(head: &str) -> Result<Option<(usize, Framing)>, Refusal> {
        let whole = scan(head.as_bytes(), 0, BOUNDS);
        // Byte by byte it must come out the same.
        let mut slow = Ok(None);
        for end in 1..=head.len() {
            slow = scan(&head.as_bytes()[..end], end - 1, BOUNDS);
            if !matches!(slow, Ok(None)) {
                break;
            }
        }
        assert_eq!(whole.is_err(), slow.is_err(), "{head:?} {whole:?} {slow:?}");
        whole
    }

    #[test]
    fn what_follows_a_head_is_known() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(scanned(get), Ok(Some((get.len(), Framing::Length(0)))));
        let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(scanned(post), Ok(Some((post.len(), Framing::Length(12)))));
        let chunked = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n";
        assert_eq!(
            scanned(chunked),
            Ok(Some((chunked.len(), Framing::Chunked)))
        );
        assert_eq!(scanned("GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
        assert_eq!(
            scanned("OPTIONS * HTTP/1.0\r\n\r\n").map(|s| s.is_some()),
            Ok(true)
        );
    }

    #[test]
    fn a_query_may_hold_what_browsers_leave_in_it() {
        let asking = |target: &str| scanned(&format!("GET {target} HTTP/1.0\r\n\r\n"));
        assert!(asking("/x?q=a|b^{c}`\\").is_ok());
        for target in [
            "/x|", "/{x}", "/x\\", "/x?#", "/x?\"", "/x?<", "/x#y", "/\u{e9}",
        ] {
            assert!(asking(target).is_err(), "{target}");
        }
    }

    #[test]
    fn a_head_has_bounds() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(64));
        assert_eq!(scanned(&long), Err(Refusal::LineTooLong));
        let wide = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n",
            "x".repeat(128)
        );
        assert_eq!(scanned(&wide), Err(Refusal::HeadersTooLarge));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: 1\r\n".repeat(4));
        assert_eq!(scanned(&many), Err(Refusal::HeadersTooLarge));
        // Without an end, too: nothing is kept beyond the bound.
        let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}", "x".repeat(256));
        assert_eq!(scanned(&endless), Err(Refusal::HeadersTooLarge));
    }
}
