//! What every environment must do: one suite, run on the operating system and in memory.
//!
//! A simulation is worth what it shares with the real thing, so whatever the rest of the code
//! relies on is written down here, against the trait.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Network;
use crate::env::{Env, Group, Place, System};

/// An environment and addresses of its own.
struct Ground<E> {
    env: E,
    ip: IpAddr,
    group: Group,
    _reserved: Option<UdpSocket>,
}

impl<E: Env> Ground<E> {
    fn free(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 0)
    }

    async fn pair(&self) -> (E::Stream, E::Stream) {
        let mut listener = self.env.listen(self.free()).await.unwrap();
        let at = self.env.local_address(&listener).unwrap();
        let (near, far) = tokio::join!(self.env.connect(at), self.env.accept(&mut listener));
        (near.unwrap(), far.unwrap().0)
    }
}

async fn bytes_come_back_from_whoever_listens<E: Env>(ground: Ground<E>) {
    let env = &ground.env;
    let mut listener = env.listen(ground.free()).await.unwrap();
    let at = env.local_address(&listener).unwrap();
    assert_eq!(at.ip(), ground.ip);
    assert_ne!(at.port(), 0);
    let server = env.clone();
    let serving = env.spawn(async move {
        let (mut stream, from) = server.accept(&mut listener).await.unwrap();
        // The kernel calls from whichever of its loopback addresses it likes.
        assert!(from.ip() == at.ip() || from.ip().is_loopback(), "{from}");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        stream.write_all(&heard).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let mut stream = env.connect(at).await.unwrap();
    stream.write_all(b"one, ").await.unwrap();
    stream.write_all(b"two").await.unwrap();
    // Half closed: the other half still carries the answer.
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"one, two");
    serving.await.unwrap();
}

async fn a_connection_is_refused_where_nobody_listens<E: Env>(ground: Ground<E>) {
    let listener = ground.env.listen(ground.free()).await.unwrap();
    let at = ground.env.local_address(&listener).unwrap();
    drop(listener);
    let error = ground.env.connect(at).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&at.to_string()), "{error}");
}

async fn an_address_is_taken_once_and_free_again_after<E: Env>(ground: Ground<E>) {
    let env = &ground.env;
    let mut listener = env.listen(ground.free()).await.unwrap();
    let at = env.local_address(&listener).unwrap();
    let error = env.listen(at).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    // Connections that linger do not hinder whoever comes next.
    let (near, far) = tokio::join!(env.connect(at), env.accept(&mut listener));
    let (near, (far, _)) = (near.unwrap(), far.unwrap());
    drop(listener);
    drop(far);
    env.listen(at).await.unwrap();
    drop(near);
}

async fn an_address_of_another_host_is_not_available<E: Env>(ground: Ground<E>) {
    let elsewhere = "203.0.113.7:4001".parse().unwrap();
    let error = ground.env.listen(elsewhere).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

async fn an_orderly_close_is_the_end_of_what_was_written<E: Env>(ground: Ground<E>) {
    let (mut near, mut far) = ground.pair().await;
    near.write_all(b"last words").await.unwrap();
    drop(near);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last words");
}

async fn a_close_with_bytes_unread_is_a_reset<E: Env>(ground: Ground<E>) {
    let (mut near, mut far) = ground.pair().await;
    near.write_all(b"never read").await.unwrap();
    far.write_all(b"x").await.unwrap();
    near.read_u8().await.unwrap();
    // By now both sides are joined; wait until the bytes are there, then close without reading all.
    far.read_u8().await.unwrap();
    drop(far);
    let error = near.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

async fn writing_to_a_peer_that_has_closed_fails_in_the_end<E: Env>(ground: Ground<E>) {
    let (mut near, far) = ground.pair().await;
    drop(far);
    assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
    let failed = async {
        loop {
            if let Err(error) = near.write_all(b"anybody?").await {
                return error.kind();
            }
            tokio::task::yield_now().await;
        }
    };
    let kind = failed.await;
    assert!(
        matches!(
            kind,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        ),
        "{kind:?}"
    );
}

async fn a_writer_waits_for_a_reader_that_does_not_read<E: Env>(ground: Ground<E>) {
    const FAR_TOO_MUCH: usize = 256 << 20;
    let (mut near, mut far) = ground.pair().await;
    let chunk: Vec<u8> = (0..65_521u32).map(|i| (i % 251) as u8).collect();
    let mut written = 0;
    while let Poll::Ready(count) =
        poll_fn(|cx| Poll::Ready(Pin::new(&mut near).poll_write(cx, &chunk[written % 251..]))).await
    {
        written += count.unwrap();
        assert!(written < FAR_TOO_MUCH, "nobody holds the writer back");
    }
    let write_more = async {
        near.write_all(b"more").await.unwrap();
        near.shutdown().await.unwrap();
    };
    let read_all = async {
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let ((), heard) = tokio::join!(write_more, read_all);
    assert_eq!(heard.len(), written + 4);
    assert!(
        heard[..written]
            .iter()
            .enumerate()
            .all(|(i, byte)| *byte == (i % 251) as u8)
    );
    assert_eq!(&heard[written..], b"more");
}

async fn vectored_parts_arrive_in_order<E: Env>(ground: Ground<E>) {
    let (mut near, mut far) = ground.pair().await;
    let parts = [
        io::IoSlice::new(b"head"),
        io::IoSlice::new(b""),
        io::IoSlice::new(b"body"),
    ];
    assert_eq!(near.write_vectored(&parts).await.unwrap(), 8);
    let mut heard = [0; 8];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"headbody");
}

async fn a_datagram_is_heard_by_every_socket_of_the_group_and_the_senders_own<E: Env>(
    ground: Ground<E>,
) {
    let Ground { env, ip, group, .. } = &ground;
    let first = env.multicast(group).await.unwrap();
    let second = env.multicast(group).await.unwrap();
    env.send_datagram(&first, b"I am here").await.unwrap();
    for socket in [&first, &second] {
        let mut buffer = [0; 64];
        let (length, from) = env.receive_datagram(socket, &mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"I am here");
        assert_eq!(from, SocketAddr::new(*ip, group.port));
    }
}

async fn another_group_with_the_same_port_is_not_heard<E: Env>(ground: Ground<E>) {
    let Ground { env, group, .. } = &ground;
    let IpAddr::V4(address) = group.address else {
        panic!("the grounds are IPv4")
    };
    let neighbour = IpAddr::from((address.to_bits() ^ 1).to_be_bytes());
    let other = Group {
        address: neighbour,
        ..group.clone()
    };
    let here = env.multicast(group).await.unwrap();
    let there = env.multicast(&other).await.unwrap();
    env.send_datagram(&there, b"for the others").await.unwrap();
    env.send_datagram(&here, b"for us").await.unwrap();
    let mut buffer = [0; 64];
    let (length, _) = env.receive_datagram(&here, &mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], b"for us");
    let (length, _) = env.receive_datagram(&there, &mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], b"for the others");
}

async fn a_datagram_too_long_for_the_buffer_is_cut_off<E: Env>(ground: Ground<E>) {
    let Ground { env, group, .. } = &ground;
    let socket = env.multicast(group).await.unwrap();
    env.send_datagram(&socket, &[7; 100]).await.unwrap();
    env.send_datagram(&socket, &[8; 3]).await.unwrap();
    let mut buffer = [0; 50];
    assert_eq!(
        env.receive_datagram(&socket, &mut buffer).await.unwrap().0,
        50
    );
    assert_eq!(
        env.receive_datagram(&socket, &mut buffer).await.unwrap().0,
        3
    );
    env.send_datagram(&socket, &[9; 70_000]).await.unwrap_err();
}

async fn a_group_that_cannot_be_joined_is_an_error_that_names_it<E: Env>(ground: Ground<E>) {
    let not_a_group = Group {
        address: ground.ip,
        ..ground.group.clone()
    };
    let error = ground.env.multicast(&not_a_group).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(
        error
            .to_string()
            .contains(&not_a_group.socket_address().to_string()),
        "{error}"
    );
    let elsewhere = Group {
        interface: Some([203, 0, 113, 7].into()),
        ..ground.group.clone()
    };
    let error = ground.env.multicast(&elsewhere).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

async fn sleepers_wake_in_order_and_never_early<E: Env>(ground: Ground<E>) {
    let env = &ground.env;
    let start = env.now();
    let at = move |millis| start + Duration::from_millis(millis);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for millis in [60, 20, 40] {
        let (env, tell) = (env.clone(), tell.clone());
        let sleeper = env.clone();
        env.spawn(async move {
            sleeper.sleep_until(at(millis)).await;
            assert!(sleeper.now() >= at(millis));
            tell.send(millis).unwrap();
        });
    }
    drop(tell);
    let mut order = Vec::new();
    while let Some(millis) = told.recv().await {
        order.push(millis);
    }
    assert_eq!(order, [20, 40, 60]);
    // What is past needs no time and no timer.
    let past = futures_util::FutureExt::now_or_never(env.sleep_until(start));
    assert_eq!(past, Some(()));
}

async fn both_clocks_go_on<E: Env>(ground: Ground<E>) {
    let env = &ground.env;
    let (now, wall) = (env.now(), env.wall_clock());
    env.sleep_until(now + Duration::from_millis(20)).await;
    assert!(env.now().since(now) >= Duration::from_millis(20));
    assert!(env.wall_clock() > wall);
}

async fn random_bytes_fill_everything_and_do_not_repeat<E: Env>(ground: Ground<E>) {
    let mut drawn = BTreeSet::new();
    for _ in 0..1000 {
        let mut bytes = [0; 16];
        ground.env.fill_random(&mut bytes);
        assert!(drawn.insert(bytes));
    }
    let mut odd = [0; 13];
    let mut seen = [false; 13];
    for _ in 0..100 {
        ground.env.fill_random(&mut odd);
        for (seen, byte) in seen.iter_mut().zip(odd) {
            *seen |= byte != 0;
        }
    }
    assert_eq!(seen, [true; 13]);
}

async fn a_task_ends_when_it_is_aborted_and_not_when_its_handle_is_dropped<E: Env>(
    ground: Ground<E>,
) {
    let (tell, told) = tokio::sync::oneshot::channel();
    drop(ground.env.spawn(async move { tell.send(7).unwrap() }));
    assert_eq!(told.await, Ok(7));

    let (held, dropped) = tokio::sync::oneshot::channel::<()>();
    let task = ground.env.spawn(async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(dropped.await.is_err(), "the future was dropped");
}

async fn an_unarmed_place_lets_everybody_pass<E: Env>(ground: Ground<E>) {
    ground.env.faults().hit(Place::Queued).unwrap();
    ground.env.faults().at(Place::BeforeAck).await.unwrap();
}

/// Each test on each ground. Ports and groups are of one test each, so that all run side by side.
macro_rules! on_every_ground {
    ($($test:ident,)*) => {
        mod system {
            use super::*;

            $(
                #[tokio::test]
                async fn $test() {
                    in_time(super::$test(on_the_system())).await;
                }
            )*
        }

        mod in_memory {
            use super::*;

            $(
                #[tokio::test(start_paused = true)]
                async fn $test() {
                    in_time(super::$test(in_the_network())).await;
                }
            )*
        }
    };
}

on_every_ground! {
    bytes_come_back_from_whoever_listens,
    a_connection_is_refused_where_nobody_listens,
    an_address_is_taken_once_and_free_again_after,
    an_address_of_another_host_is_not_available,
    an_orderly_close_is_the_end_of_what_was_written,
    a_close_with_bytes_unread_is_a_reset,
    writing_to_a_peer_that_has_closed_fails_in_the_end,
    a_writer_waits_for_a_reader_that_does_not_read,
    vectored_parts_arrive_in_order,
    a_datagram_is_heard_by_every_socket_of_the_group_and_the_senders_own,
    another_group_with_the_same_port_is_not_heard,
    a_datagram_too_long_for_the_buffer_is_cut_off,
    a_group_that_cannot_be_joined_is_an_error_that_names_it,
    sleepers_wake_in_order_and_never_early,
    both_clocks_go_on,
    random_bytes_fill_everything_and_do_not_repeat,
    a_task_ends_when_it_is_aborted_and_not_when_its_handle_is_dropped,
    an_unarmed_place_lets_everybody_pass,
}

fn on_the_system() -> Ground<System> {
    static TESTS: AtomicU8 = AtomicU8::new(1);
    // Every address of 127.0.0.0/8 is this host. One for each test keeps the ports of tests that
    // run side by side apart, even while a test has let go of one.
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = IpAddr::from([127, high, low, TESTS.fetch_add(1, Ordering::Relaxed)]);
    // The kernel knows which port is free, and keeps it from others while this is bound.
    let reserved = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = reserved.local_addr().unwrap().port();
    let group = Group {
        interface: Some(ip),
        ..Group::new([239, 255, 77, 4].into(), port)
    };
    Ground {
        env: System::current(),
        ip,
        group,
        _reserved: Some(reserved),
    }
}

fn in_the_network() -> Ground<super::Host> {
    let env = Network::new(1).host([10, 0, 0, 1]);
    let ip = env.ip();
    let group = Group {
        interface: Some(ip),
        ..Group::new([239, 255, 77, 4].into(), 45_564)
    };
    Ground {
        env,
        ip,
        group,
        _reserved: None,
    }
}

/// Turns a test that hangs into one that fails.
async fn in_time(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(60), test)
        .await
        .expect("it hangs");
}
