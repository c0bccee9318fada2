//! HTTP/1.1 as far as the API server speaks it to us, in both directions.

use std::io::{self, BufRead, Read, Write};

/// The largest body that is read. An API server limits what it sends to a webhook far below.
const LARGEST_BODY: u64 = 64 << 20;

/// A request or a response without its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The first line.
    pub start: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

/// Reads a head.
///
/// # Errors
/// The connection fails or ends within; where it ends before, the kind is `UnexpectedEof`.
pub fn read_head(from: &mut impl BufRead) -> io::Result<Head> {
    let start = read_line(from)?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(from)?;
        let Some((name, value)) = line.split_once(':') else {
            return if line.is_empty() {
                Ok(Head { start, headers })
            } else {
                Err(invalid("a header without a colon"))
            };
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

impl Head {
    /// The values of a header.
    pub fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.headers.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// The status of a response.
    ///
    /// # Errors
    /// It is not a response.
    pub fn status(&self) -> io::Result<u16> {
        let status = self.start.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| invalid("a response without a status"))
    }

    /// Reads the body.
    ///
    /// # Errors
    /// The connection fails or ends within, or the body is too large.
    pub fn read_body(&self, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.is_chunked() {
            Chunks::new(from).take(LARGEST_BODY).read_to_end(&mut body)?;
            return Ok(body);
        }
        let Some(length) = self.all("content-length").next() else { return Ok(body) };
        let length: u64 = length.parse().map_err(|_| invalid("a length that is not a number"))?;
        if length > LARGEST_BODY {
            return Err(invalid("a body that is too large"));
        }
        from.take(length).read_to_end(&mut body)?;
        if body.len() as u64 == length { Ok(body) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn is_chunked(&self) -> bool {
        self.all("transfer-encoding").any(|of| of == "chunked")
    }
}

/// Writes a head and a body.
///
/// # Errors
/// The connection fails.
pub fn write(to: &mut impl Write, start: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
    let mut message = format!("{start}\r\n");
    for (name, value) in headers {
        message += &format!("{name}: {value}\r\n");
    }
    message += &format!("content-length: {}\r\n\r\n", body.len());
    let mut message = message.into_bytes();
    message.extend_from_slice(body);
    to.write_all(&message)?;
    to.flush()
}

/// The content of a chunked body.
pub struct Chunks<'r, R> {
    from: &'r mut R,
    /// Of the current chunk.
    left: u64,
    is_done: bool,
}

impl<'r, R: BufRead> Chunks<'r, R> {
    /// Starts after the head.
    pub fn new(from: &'r mut R) -> Self {
        Self { from, left: 0, is_done: false }
    }

    fn start_chunk(&mut self) -> io::Result<()> {
        let line = read_line(self.from)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(size, 16).map_err(|_| invalid("a chunk without a size"))?;
        if self.left == 0 {
            self.is_done = true;
            while !read_line(self.from)?.is_empty() {}
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Chunks<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.is_done {
            self.start_chunk()?;
        }
        if self.is_done || buffer.is_empty() {
            return Ok(0);
        }
        let read = self.from.take(self.left).read(buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        if self.left == 0 && !read_line(self.from)?.is_empty() {
            return Err(invalid("a chunk that does not end"));
        }
        Ok(read)
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(1 << 16).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| invalid("a line that is not UTF-8"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut wire = Vec::new();
        write(&mut wire, "POST /a HTTP/1.1", &[("Accept", "application/json")], b"{}").unwrap();
        let mut from = wire.as_slice();
        let head = read_head(&mut from).unwrap();
        assert_eq!(head.start, "POST /a HTTP/1.1");
        assert_eq!(head.all("accept").collect::<Vec<_>>(), ["application/json"]);
        assert_eq!(head.read_body(&mut from).unwrap(), b"{}");
        assert_eq!(from, b"");
    }

    #[test]
    fn chunks_are_joined_and_the_next_message_is_left() {
        let wire =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\nnext";
        let mut from = wire.as_bytes();
        let head = read_head(&mut from).unwrap();
        assert_eq!(head.status().unwrap(), 200);
        assert_eq!(head.read_body(&mut from).unwrap(), b"abc0123456789");
        assert_eq!(from, b"next");
    }

    #[test]
    fn what_ends_within_is_an_error() {
        for wire in
            ["GET / HTTP", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", "HTTP/1.1 200 OK\r\nbroken\r\n\r\n"]
        {
            let mut from = wire.as_bytes();
            assert!(read_head(&mut from).and_then(|head| head.read_body(&mut from)).is_err(), "{wire:?}");
        }
    }
}
