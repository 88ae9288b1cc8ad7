//! One request and one answer over an established TLS connection.
//!
//! HTTP/1.1, as far as a component needs it: a request line, a few headers, a body of known length.

use core::fmt;
use std::io::{self, Read, Write};

/// Octets of a message. Requests carry a PKCS#10 request at most.
const MESSAGE_LEN_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 16;
/// Without it, a connection of HTTP/1.1 stays open (RFC 9112 9.3).
const CLOSE: &str = "connection: close\r\n";

/// What a client asks.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) bearer: Option<String>,
    /// Whether nothing more is asked on the connection.
    pub(crate) once: bool,
    pub(crate) body: Vec<u8>,
}

/// What a server answers.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into() }
    }

    pub(crate) fn refused(status: u16, reason: impl fmt::Display) -> Self {
        Self { status, body: reason.to_string().into_bytes() }
    }
}

pub(crate) fn send_request<S: Write>(stream: &mut S, request: &Request) -> io::Result<()> {
    let Request { method, target, bearer, once, body } = request;
    let mut message = format!("{method} {target} HTTP/1.1\r\nhost: cluster\r\ncontent-length: {}\r\n", body.len());
    if let Some(token) = bearer {
        message.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    if *once {
        message.push_str(CLOSE);
    }
    message.push_str("\r\n");
    stream.write_all(message.as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}

pub(crate) fn send_response<S: Write>(stream: &mut S, response: &Response, last: bool) -> io::Result<()> {
    let Response { status, body } = response;
    let close = if last { CLOSE } else { "" };
    let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n{close}\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}

pub(crate) fn read_request<S: Read>(stream: &mut S) -> io::Result<Request> {
    let mut request = Request::default();
    request.body = read_message(stream, |octets| {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head) = parsed.parse(octets).map_err(invalid)? else { return Ok(None) };
        request.method = parsed.method.unwrap_or_default().to_owned();
        request.target = parsed.path.unwrap_or_default().to_owned();
        request.bearer =
            header(parsed.headers, "authorization").and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        request.once = header(parsed.headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Some((head, content_length(parsed.headers)?)))
    })?;
    Ok(request)
}

pub(crate) fn read_response<S: Read>(stream: &mut S) -> io::Result<Response> {
    let mut status = 0;
    let body = read_message(stream, |octets| {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = parsed.parse(octets).map_err(invalid)? else { return Ok(None) };
        status = parsed.code.unwrap_or_default();
        Ok(Some((head, content_length(parsed.headers)?)))
    })?;
    Ok(Response { status, body })
}

/// Reads head and body, of which `head_of` tells the lengths once the head is complete.
fn read_message<S: Read>(
    stream: &mut S,
    mut head_of: impl FnMut(&[u8]) -> io::Result<Option<(usize, usize)>>,
) -> io::Result<Vec<u8>> {
    let (mut octets, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        octets.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if octets.len() > MESSAGE_LEN_MAX {
            return Err(invalid("the message is longer than 64 KiB"));
        }
        if let Some((head, body)) = head_of(&octets)? {
            match octets.len().checked_sub(head) {
                Some(found) if found == body => return Ok(octets.split_off(head)),
                Some(found) if found > body => return Err(invalid("octets after the message")),
                _ => {}
            }
        }
    }
}

fn header<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    core::str::from_utf8(found.value).ok()
}

fn content_length(headers: &[httparse::Header<'_>]) -> io::Result<usize> {
    header(headers, "content-length").map_or(Ok(0), |value| value.trim().parse().map_err(invalid))
}

fn invalid(reason: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let request = Request {
            method: "POST".to_owned(),
            target: "/csr/kubelet-client".to_owned(),
            bearer: Some("token".to_owned()),
            once: true,
            body: b"body".to_vec(),
        };
        let mut wire = Vec::new();
        send_request(&mut wire, &request).unwrap();
        let read = read_request(&mut wire.as_slice()).unwrap();
        assert_eq!(
            (read.method, read.target, read.bearer, read.once, read.body),
            (request.method, request.target, request.bearer, request.once, request.body)
        );
        let mut wire = Vec::new();
        send_response(&mut wire, &Response::refused(403, "no"), true).unwrap();
        let read = read_response(&mut wire.as_slice()).unwrap();
        assert_eq!((read.status, read.body), (403, b"no".to_vec()));
    }

    #[test]
    fn cut_and_overlong_messages_are_errors() {
        let mut wire = Vec::new();
        send_response(&mut wire, &Response::ok("answer"), false).unwrap();
        for len in 0..wire.len() {
            assert!(read_response(&mut &wire[..len]).is_err(), "{len}");
        }
        wire.push(0);
        assert!(read_response(&mut wire.as_slice()).is_err());
        let endless = vec![b'a'; 2 * MESSAGE_LEN_MAX];
        assert!(read_request(&mut endless.as_slice()).is_err());
    }
}
