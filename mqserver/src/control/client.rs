//! The commands' end of the control socket.

use super::{NAME, is_socket};
use crate::api::ErrorBody;
use crate::lock;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// How long the server may take to answer, and to go on with an answer.
const PATIENCE: Duration = Duration::from_secs(150);
/// What stands for itself in a path: the unreserved characters (RFC 3986 §2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a server did not do what it was asked. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is none.
    #[error("no server runs on {0}")]
    NotRunning(PathBuf),
    /// There is one that refuses; its sentence.
    #[error("{text}")]
    Refused {
        /// What kind of refusal it is, as HTTP has it.
        status: u16,
        /// Why.
        text: String,
    },
    /// There is one that cannot be asked, or says what nobody understands.
    #[error("the server on {0} does not answer: {1}")]
    Broken(PathBuf, String),
    /// Where its answer goes cannot be written.
    #[error(transparent)]
    Sink(io::Error),
}

/// A connection to the server that runs on a store.
pub struct Client {
    store: PathBuf,
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects to the server that runs on a store.
    ///
    /// # Errors
    /// None runs there, or it cannot be connected to.
    pub fn connect(store: &Path) -> Result<Self, ClientError> {
        let broken =
            |error: &dyn std::fmt::Display| ClientError::Broken(store.into(), error.to_string());
        if lock::running(store).map_err(|error| broken(&error))?.is_none() {
            return Err(ClientError::NotRunning(store.into()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| broken(&error))?;
        let path = store.join(NAME);
        let connect = async {
            is_socket(&path)?;
            let stream = UnixStream::connect(&path).await?;
            handshake(TokioIo::new(stream)).await.map_err(io::Error::other)
        };
        let (sender, connection) = runtime.block_on(connect).map_err(|error| broken(&error))?;
        // What goes wrong there is told by the request.
        runtime.spawn(async move { drop(connection.await) });
        Ok(Self { store: store.into(), runtime, sender })
    }

    /// What is at a path.
    ///
    /// # Errors
    /// The server refuses, or does not answer.
    pub fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        self.json(Method::GET, path, Bytes::new())
    }

    /// Has something done.
    ///
    /// # Errors
    /// As those of [`get`](Self::get).
    pub fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error))?;
        self.json(Method::POST, path, body.into())
    }

    /// Has something removed.
    ///
    /// # Errors
    /// As those of [`get`](Self::get).
    pub fn delete<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        self.json(Method::DELETE, path, Bytes::new())
    }

    /// Has the bytes of an answer taken, piece by piece.
    ///
    /// # Errors
    /// As those of [`get`](Self::get), also when the answer breaks off; or what takes it fails.
    pub fn stream(
        &mut self,
        method: &str,
        path: &str,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        let method = Method::from_bytes(method.as_bytes()).map_err(|error| self.broken(&error))?;
        let mut answer = self.ask(method, path, Bytes::new())?.into_body();
        loop {
            let next = async { timeout(PATIENCE, answer.frame()).await };
            match self.runtime.block_on(next) {
                Ok(Some(Ok(frame))) => {
                    if let Some(piece) = frame.data_ref() {
                        take(piece).map_err(ClientError::Sink)?;
                    }
                }
                Ok(Some(Err(error))) => return Err(self.broken(&error)),
                Ok(None) => return Ok(()),
                Err(late) => return Err(self.broken(&late)),
            }
        }
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> ClientError {
        ClientError::Broken(self.store.clone(), error.to_string())
    }

    fn json<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let answer = self.ask(method, path, body)?;
        let whole = self.whole(answer)?;
        serde_json::from_slice(&whole).map_err(|error| self.broken(&error))
    }

    /// An answer that is no refusal.
    fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .body(Full::new(body))
            .map_err(|error| self.broken(&error))?;
        let send = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let answer = self.runtime.block_on(async { timeout(PATIENCE, send).await });
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.broken(&error)),
            Err(late) => return Err(self.broken(&late)),
        };
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let whole = self.whole(answer)?;
        let text = match serde_json::from_slice::<ErrorBody>(&whole) {
            Ok(body) => body.error,
            Err(_) => format!("the server answers {status}"),
        };
        Err(ClientError::Refused { status: status.as_u16(), text })
    }

    fn whole(&mut self, answer: Response<Incoming>) -> Result<Bytes, ClientError> {
        let read = async { timeout(PATIENCE, answer.into_body().collect()).await };
        match self.runtime.block_on(read) {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(late) => Err(self.broken(&late)),
        }
    }
}

/// A path of the API: `/api/v1` and these segments, each as it has to be written there.
pub fn path(segments: &[&str]) -> String {
    let mut path = String::from("/api/v1");
    for segment in segments {
        // Writing to a String cannot fail.
        let _ = write!(path, "/{}", utf8_percent_encode(segment, ENCODED));
    }
    path
}

/// A path with a query.
pub fn with(mut path: String, query: &[(&str, &str)]) -> String {
    for (at, (name, value)) in query.iter().enumerate() {
        let mark = if at == 0 { '?' } else { '&' };
        let _ = write!(path, "{mark}{name}={}", utf8_percent_encode(value, ENCODED));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_has_a_slash_or_a_question_mark_is_one_segment_of_a_path() {
        assert_eq!(path(&["users", "a/b ?é"]), "/api/v1/users/a%2Fb%20%3F%C3%A9");
        let asked = with(path(&["users"]), &[("search", "a&b"), ("limit", "2")]);
        assert_eq!(asked, "/api/v1/users?search=a%26b&limit=2");
    }
}
