//! Connections that this node opens: a hello, a welcome, then a link.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use catherd_core::membership::ConnectFailure;
use catherd_core::message::{Hello, Message, Welcome};
use catherd_core::time::Time;
use catherd_core::version::Incarnation;
use tokio::io::AsyncWriteExt as _;

use super::accept::{first_message, report};
use super::driver::Input;
use super::pool::{Placed, Pool};
use super::shared::Shared;
use crate::env::{Env, Place};

/// Whom to call, and what to say.
pub(super) struct Call {
    pub(super) member: Incarnation,
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) hello: Hello,
    /// How many pauses of this node there had been.
    pub(super) pauses: u64,
}

/// Opens the first link to a member, and runs it to its end.
pub(super) async fn open_first<E: Env>(env: E, shared: Arc<Shared>, call: Call) {
    let Call { member, pauses, .. } = call;
    let deadline = env.now() + shared.handshake;
    let (stream, buffer, welcome) = match open(&env, &shared, &call, deadline).await {
        Ok(opened) => opened,
        Err(failure) => {
            let failed = Input::ConnectFailed {
                member,
                pauses,
                failure,
            };
            // A driver that has ended connects to nobody any more; so below.
            let _ = shared.driver.send(failed).await;
            return;
        }
    };
    let (reader, writer) = env.split(stream);
    let pool = Pool::new(&shared, member, &call.name, writer);
    let welcomed = Input::Welcomed {
        expected: member,
        welcome,
        pool: Arc::clone(&pool),
        pauses,
    };
    if shared.driver.send(welcomed).await.is_err() {
        return;
    }
    let ended = pool.first.run(reader, buffer).await;
    report(&shared, &call.name, ended);
    pool.close();
    let lost = Input::LinkLost {
        member,
        first: pool.first.number,
    };
    let _ = shared.driver.send(lost).await;
}

/// Opens one more link of a pool, and runs it to its end.
pub(super) async fn open_more<E: Env>(
    env: E,
    shared: Arc<Shared>,
    call: Call,
    (pool, place): (Arc<Pool>, usize),
) {
    let deadline = env.now() + shared.handshake;
    let opened = open(&env, &shared, &call, deadline).await;
    let Ok((stream, buffer, _)) = opened.and_then(|opened| {
        let is_it = opened.2.incarnation == call.member;
        is_it.then_some(opened).ok_or(ConnectFailure::Unreachable)
    }) else {
        return pool.failed(place, env.now());
    };
    let (reader, writer) = env.split(stream);
    let Some(Placed { link, after }) = pool.opened(place, writer) else {
        return;
    };
    let run = link.run(reader, buffer);
    let (ended, ()) = tokio::join!(run, link.wait_for(&pool.first, after));
    if ended.is_ok() && link.is_drained() {
        shared.retire(link.number);
    } else {
        pool.lost(&link, env.now());
        shared.remove(link.number);
    }
    report(&shared, &call.name, ended);
    link.close();
    pool.first.repair_when_free();
}

/// A question that the process answers: a connection that is merely accepted proves nothing.
pub(super) async fn probe<E: Env>(env: E, shared: Arc<Shared>, call: Call, deadline: Time) {
    let outcome = tokio::select! {
        biased;
        opened = say_hello(&env, &shared, &call) => opened.map(|(.., welcome)| welcome),
        // The membership looks at the deadline itself.
        () = env.sleep_until(deadline) => return,
    };
    let Call { member, pauses, .. } = call;
    let probed = Input::Probed {
        member,
        pauses,
        outcome,
    };
    // A driver that has ended asks nobody any more.
    let _ = shared.driver.send(probed).await;
}

async fn open<E: Env>(
    env: &E,
    shared: &Shared,
    call: &Call,
    deadline: Time,
) -> Result<(E::Stream, BytesMut, Welcome), ConnectFailure> {
    tokio::select! {
        biased;
        opened = say_hello(env, shared, call) => opened,
        () = env.sleep_until(deadline) => Err(ConnectFailure::Unreachable),
    }
}

/// Says hello, and reads the answer.
async fn say_hello<E: Env>(
    env: &E,
    shared: &Shared,
    call: &Call,
) -> Result<(E::Stream, BytesMut, Welcome), ConnectFailure> {
    let mut stream = env.connect(call.address).await.map_err(failure)?;
    env.faults().at(Place::BeforeHello).await.map_err(failure)?;
    let frame = Message::Hello(call.hello.clone()).to_frame(shared.key.as_ref());
    stream.write_all(&frame).await.map_err(failure)?;
    stream.flush().await.map_err(failure)?;
    let mut buffer = BytesMut::new();
    match first_message(&mut stream, &mut buffer, shared).await {
        Ok(Message::Welcome(welcome)) => Ok((stream, buffer, welcome)),
        Ok(Message::Refused(refusal)) => Err(ConnectFailure::Refused(refusal)),
        Ok(_) => Err(ConnectFailure::Unreachable),
        Err(error) => Err(failure(error)),
    }
}

/// A kernel that answers for a process says that the process has ended.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failure(error: io::Error) -> ConnectFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => ConnectFailure::Reset,
        _ => ConnectFailure::Unreachable,
    }
}
