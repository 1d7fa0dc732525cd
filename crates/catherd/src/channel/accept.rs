//! Connections that others open: nothing is believed before the hello.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use catherd_core::message::{FrameKind, FrameReader, Message, Purpose};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, oneshot};

use super::answers::bad;
use super::driver::Input;
use super::incoming::Incoming;
use super::shared::Shared;
use crate::cluster::Event;
use crate::env::{Env, Place};

/// Takes connections until the channel is left.
pub(super) async fn accept_all<E: Env>(env: E, shared: Arc<Shared>, mut listener: E::Listener) {
    loop {
        let arrived = tokio::select! {
            biased;
            () = shared.closed.notified() => return,
            arrived = env.accept(&mut listener) => arrived,
        };
        let Ok((stream, from)) = arrived else {
            env.sleep_until(env.now() + Duration::from_millis(100))
                .await;
            continue;
        };
        drop(env.spawn(serve(env.clone(), Arc::clone(&shared), stream, from)));
    }
}

/// Connections that have not said hello yet.
///
/// A member says it at once. Whoever does not is turned away when others come: the one that has
/// waited longest goes first, so that idle connections never keep a member out, and memory is
/// bounded.
#[derive(Debug, Default)]
pub(super) struct Lobby(Mutex<VecDeque<(IpAddr, Arc<Notify>)>>);

impl Lobby {
    /// Lets a connection in. The notice comes when it has to leave.
    fn enter(&self, from: IpAddr) -> Arc<Notify> {
        let notice = Arc::new(Notify::new());
        let mut waiting = self.0.lock();
        waiting.push_back((from, Arc::clone(&notice)));
        let of_this = waiting.iter().filter(|(other, _)| *other == from).count();
        let one_too_many = if of_this > WAITING_MAX_OF_ONE {
            waiting.iter().position(|(other, _)| *other == from)
        } else {
            (waiting.len() > WAITING_MAX).then_some(0)
        };
        if let Some((_, turned_away)) = one_too_many.and_then(|at| waiting.remove(at)) {
            turned_away.notify_one();
        }
        notice
    }

    fn leave(&self, notice: &Arc<Notify>) {
        self.0
            .lock()
            .retain(|(_, other)| !Arc::ptr_eq(other, notice));
    }
}

/// So many connections from one address may wait for their hello.
const WAITING_MAX_OF_ONE: usize = 128;

/// So many connections may wait for their hello.
const WAITING_MAX: usize = 1024;

/// Serves a connection that somebody opened: the hello first, and nothing before it.
async fn serve<E: Env>(env: E, shared: Arc<Shared>, mut stream: E::Stream, from: SocketAddr) {
    let mut buffer = BytesMut::new();
    let deadline = env.now() + HELLO_TIME;
    let notice = shared.lobby.enter(from.ip());
    let first = tokio::select! {
        biased;
        first = first_message(&mut stream, &mut buffer, &shared) => first,
        () = notice.notified() => Err(bad("no hello, and too many others wait")),
        () = env.sleep_until(deadline) => Err(bad("no hello in time")),
    };
    shared.lobby.leave(&notice);
    let hello = match first {
        Ok(Message::Hello(hello)) => hello,
        Ok(_) => return report(&shared, &from.to_string(), Err(bad("no hello"))),
        Err(error) => return report(&shared, &from.to_string(), Err(error)),
    };
    let (member, name, purpose) = (hello.incarnation, hello.name.clone(), hello.purpose);
    let close = Arc::new(Notify::new());
    let (verdict, judged) = oneshot::channel();
    let input = Input::Hello {
        hello,
        close: Arc::clone(&close),
        verdict,
    };
    if shared.driver.send(input).await.is_err() {
        return;
    }
    let Ok(verdict) = judged.await else { return };
    let is_welcome = verdict.is_ok();
    let answer = verdict.map_or_else(Message::Refused, Message::Welcome);
    if purpose == Purpose::Probe && env.faults().at(Place::BeforeProbeAnswer).await.is_err() {
        return;
    }
    let frame = answer.to_frame(shared.key.as_ref());
    let sent = match stream.write_all(&frame).await {
        Ok(()) => stream.flush().await,
        Err(error) => Err(error),
    };
    if !is_welcome || purpose == Purpose::Probe {
        return;
    }
    let ended = match sent {
        Err(error) => Err(error),
        Ok(()) => {
            let incoming = Incoming {
                member,
                stream,
                buffer,
                shared: Arc::clone(&shared),
                faults: env.faults().clone(),
            };
            tokio::select! {
                biased;
                () = close.notified() => Ok(()),
                ended = incoming.run() => ended,
            }
        }
    };
    report(&shared, &name, ended);
    // A driver that has ended waits for nobody.
    let _ = shared
        .driver
        .send(Input::IncomingLost { member, close })
        .await;
}

pub(super) async fn first_message<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    shared: &Shared,
) -> io::Result<Message> {
    let frames = FrameReader::new(Message::bytes_max(FrameKind::Hello, 0) + 1);
    loop {
        if let Some((head, payload)) = frames.next(buffer).map_err(bad)? {
            let message = Message::decode(head.kind, &payload, shared.key.as_ref(), 0);
            return message.map_err(bad)?.ok_or_else(|| bad("no hello"));
        }
        buffer.reserve(4096);
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Bytes that nobody may send are said and counted; a connection that merely ends is not.
pub(super) fn report(shared: &Shared, from: &str, ended: io::Result<()>) {
    if let Err(error) = ended
        && error.kind() == io::ErrorKind::InvalidData
    {
        let (from, why) = (from.to_owned(), error.to_string());
        shared.delivery.happened(Event::BadConnection { from, why });
    }
}

/// Who connects has this long for its hello.
const HELLO_TIME: Duration = Duration::from_secs(5);
