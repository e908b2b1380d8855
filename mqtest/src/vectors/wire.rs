//! The client's side of the wire: draft-04 frames, and the messages in them.
//!
//! Written from the protocol's text and not with the server's codec, or an error there would
//! agree with itself here. It is strict about what arrives: the one opcode, the shortest form of
//! a length, a lower-case length header padded on the right.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::file::Step;

/// More than any vector sends; a length beyond it is garbage.
const LONGEST: u64 = 64 << 20;

/// Something that arrived on a connection.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) conn: String,
    pub(crate) at: Instant,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Message(Message),
    /// The two bytes `81 00`.
    Close,
    Fin,
    Rst,
    /// Bytes that no server should send, and why not.
    Malformed(String),
}

/// A message, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) header: String,
    pub(crate) etc: Option<String>,
    pub(crate) data: Vec<u8>,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.header)?;
        if let Some(etc) = &self.etc {
            write!(f, "  etc {etc}")?;
        }
        if !self.data.is_empty() {
            let shown = &self.data[..self.data.len().min(40)];
            write!(f, "  data ({}) {:?}", self.data.len(), String::from_utf8_lossy(shown))?;
        }
        Ok(())
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => message.fmt(f),
            Self::Close => f.write_str("close frame"),
            Self::Fin => f.write_str("FIN"),
            Self::Rst => f.write_str("RST"),
            Self::Malformed(why) => write!(f, "malformed: {why}"),
        }
    }
}

/// A client's connection; what arrives on it goes to the channel it was opened with.
#[derive(Debug)]
pub(crate) struct Connection {
    writer: OwnedWriteHalf,
    reader: JoinHandle<()>,
}

impl Connection {
    pub(crate) async fn open(
        name: &str,
        addr: SocketAddr,
        arrivals: UnboundedSender<Arrival>,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr)
            .await
            .with_context(|| format!("{name} cannot connect to {addr}"))?;
        // Each step is one segment, as it was when it was observed.
        stream.set_nodelay(true)?;
        let (read, writer) = stream.into_split();
        let reader = tokio::spawn(receive(name.to_owned(), read, arrivals));
        Ok(Self { writer, reader })
    }

    /// Sends bytes. That the server has gone shows in what arrives, and is no error here: the
    /// point of some vectors is to go on talking.
    pub(crate) async fn send(&mut self, bytes: &[u8], bytewise: bool) {
        if bytewise {
            for byte in bytes.chunks(1) {
                let _ = self.writer.write_all(byte).await;
                // Long enough for the server to see the byte alone.
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        } else {
            let _ = self.writer.write_all(bytes).await;
        }
    }

    /// Ends our side; the server's may go on.
    pub(crate) async fn fin(&mut self) {
        let _ = self.writer.shutdown().await;
    }

    /// Breaks the connection off.
    pub(crate) async fn rst(mut self) -> anyhow::Result<()> {
        self.writer.as_ref().set_zero_linger()?;
        self.reader.abort();
        // Only the last half to go closes the socket.
        let _ = (&mut self.reader).await;
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn receive(conn: String, mut read: OwnedReadHalf, arrivals: UnboundedSender<Arrival>) {
    loop {
        let what = match frame(&mut read).await {
            Ok(what) => what,
            Err(error) => match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
                Some(std::io::ErrorKind::UnexpectedEof) => What::Fin,
                Some(_) => What::Rst,
                None => What::Malformed(format!("{error:#}")),
            },
        };
        let last = matches!(what, What::Fin | What::Rst | What::Malformed(_));
        let arrival = Arrival { conn: conn.clone(), at: Instant::now(), what };
        // Nobody listens once the vector has been decided.
        if arrivals.send(arrival).is_err() || last {
            return;
        }
    }
}

/// Reads one frame. An error of the socket is passed on as it is, the end before a frame too.
async fn frame(read: &mut OwnedReadHalf) -> anyhow::Result<What> {
    let first = read.read_u8().await?;
    let length = read.read_u8().await.map_err(cut_short)?;
    if (first, length) == (0x81, 0) {
        return Ok(What::Close);
    }
    ensure!(first == 0x85, "a frame that begins with {first:02x}");
    let (length, shortest) = match length {
        0..=125 => (u64::from(length), 0),
        126 => (u64::from(read.read_u16().await.map_err(cut_short)?), 126),
        127 => (read.read_u64().await.map_err(cut_short)?, 65_536),
        _ => bail!("a masked frame"),
    };
    ensure!(length >= shortest, "a length of {length} in a longer form than it needs");
    ensure!(length <= LONGEST, "a length of {length}");
    let mut payload = vec![0; usize::try_from(length)?];
    read.read_exact(&mut payload).await.map_err(cut_short)?;
    message(&payload).map(What::Message)
}

/// An end inside a frame is not an orderly one.
fn cut_short(error: std::io::Error) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        anyhow::anyhow!("the end in the middle of a frame")
    } else {
        error.into()
    }
}

fn message(payload: &[u8]) -> anyhow::Result<Message> {
    let (length, rest) = payload.split_at_checked(4).context("a message under four bytes")?;
    let length = std::str::from_utf8(length).context("a length header that is no text")?;
    let digits = length.trim_end_matches(' ');
    let number = usize::from_str_radix(digits, 16)
        .with_context(|| format!("the length header {length:?}"))?;
    ensure!(format!("{number:x}") == digits, "the length header {length:?}");
    let (header, rest) = rest
        .split_at_checked(number)
        .with_context(|| format!("the length header {length:?} in {} bytes", payload.len()))?;
    let header = String::from_utf8(header.to_vec()).context("a header that is no text")?;
    ensure!(header.is_ascii(), "a header that is not ASCII: {header}");
    let fields: serde_json::Value =
        serde_json::from_str(&header).with_context(|| format!("not JSON: {header}"))?;
    let Some(etc) = fields.get("etc") else {
        return Ok(Message { header, etc: None, data: rest.to_vec() });
    };
    let length = etc.as_u64().and_then(|n| usize::try_from(n).ok());
    let (etc, data) = length
        .and_then(|length| rest.split_at_checked(length))
        .with_context(|| format!("an etc that is not there: {header}"))?;
    let etc = String::from_utf8(etc.to_vec()).context("an etc that is no text")?;
    Ok(Message { header, etc: Some(etc), data: data.to_vec() })
}

/// A message in the shortest frame.
pub(crate) fn framed(payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => vec![0x85, length],
        (_, Ok(length)) => [&[0x85, 126], &length.to_be_bytes()[..]].concat(),
        _ => [&[0x85, 127], &(length as u64).to_be_bytes()[..]].concat(),
    };
    frame.extend_from_slice(payload);
    frame
}

/// A message from its parts. The length of etc goes into the header, at its end.
pub(crate) fn payload(header: &str, etc: Option<&str>, data: &[u8]) -> Vec<u8> {
    let etc = etc.unwrap_or_default();
    let header = match header.strip_suffix('}') {
        Some(open) if !etc.is_empty() => format!("{open},\"etc\":{}}}", etc.len()),
        _ => header.to_owned(),
    };
    let mut payload = format!("{:<4}{header}{etc}", format!("{:x}", header.len())).into_bytes();
    payload.extend_from_slice(data);
    payload
}

/// The bytes of a `send` step; `fill_in` replaces the ids of the observed server by those of ours.
pub(crate) fn bytes_of(
    step: &Step,
    fill_in: impl Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<Vec<u8>> {
    let header = step.header_text();
    // Bytes cannot stand for an id of another length, and a long frame was not written out.
    let exact = header.is_none_or(|h| !h.contains("<ID"));
    if let Some(mut bytes) = step.hex.as_deref().filter(|_| exact).and_then(unhex) {
        bytes.extend(step.fill.as_ref().map(super::file::Fill::bytes).unwrap_or_default());
        return Ok(bytes);
    }
    if let Some(text) = &step.payload_latin1 {
        let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
        return Ok(framed(&bytes.context("payload_latin1 is not Latin-1")?));
    }
    let header = fill_in(header.with_context(|| format!("nothing to send: {step:?}"))?)?;
    let data = match (&step.data, &step.data_fill) {
        (_, Some(fill)) => fill.bytes(),
        (Some(data), None) => data.clone().into_bytes(),
        (None, None) => Vec::new(),
    };
    Ok(framed(&payload(&header, step.etc.as_ref().map(|etc| etc.get()), &data)))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digits = (0..text.len()).step_by(2);
    digits.map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_apart_into_header_etc_and_data() {
        let parts = message(b"12  {\"op\":\"x\",\"etc\":4}\"ab\"data").unwrap();
        assert_eq!(parts.header, "{\"op\":\"x\",\"etc\":4}");
        assert_eq!(parts.etc.as_deref(), Some("\"ab\""));
        assert_eq!(parts.data, b"data");
    }

    #[test]
    fn a_length_header_must_be_lower_case_and_padded_on_the_right() {
        let header = "{\"op\":\"ping1\"}";
        let with = |length: &str| message(format!("{length}{header}").as_bytes());
        assert!(with("e   ").is_ok());
        for wrong in ["E   ", "   e", "000e", "+e  ", "e  ", "f   "] {
            assert!(with(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn frames_take_the_shortest_form_of_a_length() {
        assert_eq!(framed(&[0; 125])[..2], [0x85, 125]);
        assert_eq!(framed(&[0; 126])[..4], [0x85, 126, 0, 126]);
        assert_eq!(framed(&[0; 65_535])[..4], [0x85, 126, 0xff, 0xff]);
        assert_eq!(framed(&[0; 65_536])[..10], [0x85, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn the_length_of_etc_goes_into_the_header() {
        let bytes = payload("{\"op\":\"ping\"}", Some("[1]"), b"x");
        assert_eq!(bytes, b"15  {\"op\":\"ping\",\"etc\":3}[1]x");
    }
}
