//! The verbs of the simulated network, seen from its hosts.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use catherd_core::time::Time;
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Datagrams, Host, Link, Network, Stream};
use crate::env::{Action, Env, Group, Place};

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];
const C: [u8; 4] = [10, 0, 0, 3];

/// Longer than anything here takes; nothing waits for it in truth.
const FOREVER: Duration = Duration::from_secs(3600);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn port_of(ip: [u8; 4]) -> SocketAddr {
    SocketAddr::from((ip, 4001))
}

fn group() -> Group {
    Group::new([228, 0, 0, 4].into(), 45_564)
}

async fn connected(from: &Host, to: &Host) -> (Stream, Stream) {
    let mut listener = to.listen(SocketAddr::new(to.ip(), 0)).await.unwrap();
    let at = to.local_address(&listener).unwrap();
    let (near, far) = tokio::join!(from.connect(at), to.accept(&mut listener));
    (near.unwrap(), far.unwrap().0)
}

async fn read(stream: &mut Stream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn hear(host: &Host, socket: &Datagrams) -> (Vec<u8>, IpAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = host.receive_datagram(socket, &mut buffer).await.unwrap();
    (buffer[..length].to_vec(), from.ip())
}

async fn all_heard(host: &Host, socket: &Datagrams) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    while let Ok((bytes, _)) = timeout(secs(10), hear(host, socket)).await {
        heard.push(bytes);
    }
    heard
}

async fn stalls<F: Future>(future: F) -> bool {
    timeout(FOREVER, future).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn a_crash_resets_connections_behind_what_was_sent() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let (mut near, mut far) = connected(&a, &b).await;
    far.write_all(b"before").await.unwrap();
    network.crash(B);
    assert_eq!(read(&mut near, 6).await, b"before");
    assert_eq!(
        near.read_u8().await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    assert_eq!(
        near.write_u8(1).await.unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
    assert_eq!(
        far.write_u8(1).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionAborted
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_wakes_a_peer_that_waits_to_write() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    network.set_link(
        B,
        A,
        Link {
            latency: millis(5),
            ..Link::default()
        },
    );
    let (mut near, _far) = connected(&a, &b).await;
    let writing = a.spawn(async move {
        let error = near.write_all(&vec![0; 1 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
    tokio::task::yield_now().await;
    network.crash(B);
    timeout(FOREVER, writing).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_the_tasks_of_the_host_and_of_no_other() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let (held_by_a, mut a_ended) = oneshot::channel::<()>();
    let (held_by_b, b_ended) = oneshot::channel::<()>();
    for (host, held) in [(&a, held_by_a), (&b, held_by_b)] {
        // Waits for nothing that the network could wake.
        host.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
    }
    tokio::task::yield_now().await;
    network.crash(B);
    timeout(FOREVER, b_ended).await.unwrap().unwrap_err();
    assert_eq!(a_ended.try_recv(), Err(oneshot::error::TryRecvError::Empty));
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_connections_are_refused_and_a_new_process_starts_afresh() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let old = b.listen(port_of(B)).await.unwrap();
    a.sleep_until(a.now() + secs(100)).await;
    let mut drawn = [0; 16];
    b.fill_random(&mut drawn);
    network.crash(B);
    let error = a.connect(port_of(B)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(
        b.listen(port_of(B)).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionAborted
    );

    let b = network.host(B);
    assert_eq!(b.now(), Time::START);
    let mut drawn_anew = [0; 16];
    b.fill_random(&mut drawn_anew);
    assert_ne!(drawn, drawn_anew);
    let mut listener = b.listen(port_of(B)).await.unwrap();
    // What the dead process leaves behind does not close what the new one opened.
    drop(old);
    let (near, far) = tokio::join!(a.connect(port_of(B)), b.accept(&mut listener));
    near.unwrap();
    far.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_never_started_is_unreachable() {
    let a = Network::new(1).host(A);
    let error = a.connect(port_of(B)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_accepted_is_reset_when_the_listener_closes() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let listener = b.listen(port_of(B)).await.unwrap();
    let mut near = a.connect(port_of(B)).await.unwrap();
    near.write_all(b"hello?").await.unwrap();
    drop(listener);
    assert_eq!(
        near.read_u8().await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[tokio::test(start_paused = true)]
async fn a_partition_holds_bytes_until_the_repair() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let (mut near, mut far) = connected(&a, &b).await;
    near.write_all(b"arrived").await.unwrap();
    network.partition(A, B);
    near.write_all(b"held").await.unwrap();
    drop(near);
    assert_eq!(read(&mut far, 7).await, b"arrived");
    assert!(stalls(far.read_u8()).await);
    network.repair(A, B);
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"held");
}

#[tokio::test(start_paused = true)]
async fn a_one_way_partition_lets_the_other_way_pass() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let (mut near, mut far) = connected(&a, &b).await;
    network.partition_one_way(A, B);
    near.write_all(b"lost?").await.unwrap();
    far.write_all(b"heard").await.unwrap();
    assert_eq!(read(&mut near, 5).await, b"heard");
    assert!(stalls(far.read_u8()).await);
    assert!(
        stalls(b.connect(port_of(A))).await,
        "the answer has no way back"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_connects_in_a_partition_waits_for_the_repair() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let _listener = b.listen(port_of(B)).await.unwrap();
    network.partition(A, B);
    let mut connecting = Box::pin(a.connect(port_of(B)));
    assert!(stalls(connecting.as_mut()).await);
    network.repair_all();
    connecting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_written_to_a_peer_that_closed_behind_a_partition_brings_a_reset_after_it() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let (mut near, far) = connected(&a, &b).await;
    network.partition(A, B);
    near.write_all(b"anybody?").await.unwrap();
    drop(far);
    near.write_all(b"still nobody?").await.unwrap();
    assert!(stalls(near.read_u8()).await);
    network.repair(A, B);
    let kinds = match near.read(&mut [0; 1]).await {
        Ok(length) => {
            assert_eq!(length, 0);
            near.write_all(b"?").await.err().map(|error| error.kind())
        }
        Err(error) => Some(error.kind()),
    };
    assert!(
        matches!(
            kinds,
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
        ),
        "{kinds:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_power_says_nothing() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let (mut near, _far) = connected(&a, &b).await;
    network.isolate(B);
    network.crash(B);
    assert!(stalls(near.read_u8()).await);
    network.repair_all();
    assert_eq!(
        near.read_u8().await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[tokio::test(start_paused = true)]
async fn connections_can_be_reset_while_both_sides_live() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let (mut near, mut far) = connected(&a, &b).await;
    near.write_all(b"lost").await.unwrap();
    network.reset_connections(A, B);
    for stream in [&mut near, &mut far] {
        assert_eq!(
            stream.read_u8().await.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
        assert_eq!(
            stream.write_u8(1).await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }
    connected(&a, &b).await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_loses_datagrams_and_a_hold_keeps_them() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let (here, there) = (
        a.multicast(&group()).await.unwrap(),
        b.multicast(&group()).await.unwrap(),
    );
    network.set_links(Link {
        latency: millis(10),
        ..Link::default()
    });

    a.send_datagram(&here, b"under way").await.unwrap();
    network.partition(A, B);
    a.send_datagram(&here, b"into the void").await.unwrap();
    network.repair(A, B);
    network.hold(A, B);
    a.send_datagram(&here, b"held").await.unwrap();
    assert!(stalls(hear(&b, &there)).await);
    network.release(A, B);
    assert_eq!(all_heard(&b, &there).await, [b"held".to_vec()]);
    // The sender hears itself throughout.
    assert_eq!(all_heard(&a, &here).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_datagram_that_stays_on_its_host_is_heard_there_alone() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let local = Group {
        ttl: Some(0),
        ..group()
    };
    let (here, there) = (
        a.multicast(&local).await.unwrap(),
        b.multicast(&group()).await.unwrap(),
    );
    a.send_datagram(&here, b"local").await.unwrap();
    assert_eq!(hear(&a, &here).await, (b"local".to_vec(), IpAddr::from(A)));
    assert!(stalls(hear(&b, &there)).await);
}

#[tokio::test(start_paused = true)]
async fn loss_and_duplication_come_as_often_as_told() {
    let network = Network::new(7);
    let (a, b) = (network.host(A), network.host(B));
    let (here, there) = (
        a.multicast(&group()).await.unwrap(),
        b.multicast(&group()).await.unwrap(),
    );
    let mut heard = Vec::new();
    for (loss, duplication) in [(1.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.0, 1.0)] {
        network.set_link(
            A,
            B,
            Link {
                loss,
                duplication,
                ..Link::default()
            },
        );
        for _ in 0..400 {
            a.send_datagram(&here, b"?").await.unwrap();
        }
        heard.push(all_heard(&b, &there).await.len());
    }
    assert_eq!(heard[0], 0);
    assert!((150..250).contains(&heard[1]), "{heard:?}");
    assert!((550..650).contains(&heard[2]), "{heard:?}");
    assert_eq!(heard[3], 800);
}

#[tokio::test(start_paused = true)]
async fn jitter_lets_datagrams_overtake_and_keeps_streams_in_order() {
    let network = Network::new(3);
    let (a, b) = (network.host(A), network.host(B));
    network.set_link(
        A,
        B,
        Link {
            latency: millis(5),
            jitter: millis(50),
            ..Link::default()
        },
    );
    let (here, there) = (
        a.multicast(&group()).await.unwrap(),
        b.multicast(&group()).await.unwrap(),
    );
    let (mut near, mut far) = connected(&a, &b).await;
    let sent: Vec<u8> = (0..100).collect();
    for byte in &sent {
        a.send_datagram(&here, &[*byte]).await.unwrap();
        near.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(read(&mut far, 100).await, sent);
    let heard = all_heard(&b, &there).await.concat();
    assert_ne!(heard, sent);
    let mut sorted = heard;
    sorted.sort_unstable();
    assert_eq!(sorted, sent);
}

#[tokio::test(start_paused = true)]
async fn a_round_trip_takes_the_latency_of_both_ways() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    network.set_link(
        A,
        B,
        Link {
            latency: millis(30),
            ..Link::default()
        },
    );
    network.set_link(
        B,
        A,
        Link {
            latency: millis(12),
            ..Link::default()
        },
    );
    let start = a.now();
    let (mut near, mut far) = connected(&a, &b).await;
    assert_eq!(a.now().since(start), millis(42));
    near.write_all(b"ping").await.unwrap();
    read(&mut far, 4).await;
    assert_eq!(a.now().since(start), millis(72));
    far.write_all(b"pong").await.unwrap();
    read(&mut near, 4).await;
    assert_eq!(a.now().since(start), millis(84));
}

#[tokio::test(start_paused = true)]
async fn a_slow_link_carries_what_it_can_and_not_all_at_its_end() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    network.set_link(
        A,
        B,
        Link {
            bytes_per_second: Some(10_000),
            ..Link::default()
        },
    );
    let (mut near, mut far) = connected(&a, &b).await;
    let start = a.now();
    let writing = a.spawn(async move {
        near.write_all(&vec![0; 200_000]).await.unwrap();
        near.shutdown().await.unwrap();
    });
    far.read_u8().await.unwrap();
    assert!(a.now().since(start) < secs(1), "{:?}", a.now());
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), 199_999);
    let took = a.now().since(start);
    assert!((secs(19)..secs(21)).contains(&took), "{took:?}");
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_holds_no_more_than_its_capacity() {
    let network = Network::new(1);
    network.set_stream_capacity(10);
    let (a, b) = (network.host(A), network.host(B));
    let (mut near, mut far) = connected(&a, &b).await;
    assert_eq!(near.write(&[1; 100]).await.unwrap(), 10);
    assert!(near.write_u8(1).now_or_never().is_none());
    read(&mut far, 4).await;
    assert_eq!(near.write(&[1; 100]).await.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_paused_host_does_nothing_while_its_kernel_takes_what_comes() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let mut listener = b.listen(port_of(B)).await.unwrap();
    let (here, there) = (
        a.multicast(&group()).await.unwrap(),
        b.multicast(&group()).await.unwrap(),
    );
    let counting = b.clone();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    b.spawn(async move {
        loop {
            counting.sleep_until(counting.now() + secs(1)).await;
            tell.send(()).unwrap();
        }
    });
    told.recv().await.unwrap();
    network.pause(B);
    let mut near = a.connect(port_of(B)).await.unwrap();
    near.write_all(b"into the buffer").await.unwrap();
    a.send_datagram(&here, b"into the queue").await.unwrap();
    assert!(stalls(told.recv()).await);
    assert!(stalls(b.accept(&mut listener)).await);
    assert!(stalls(hear(&b, &there)).await);
    assert!(stalls(b.connect(port_of(A))).await);
    assert!(stalls(b.sleep_until(Time::START)).await);
    assert!(b.now().since(Time::START) >= FOREVER, "its clock goes on");

    network.resume(B);
    told.recv().await.unwrap();
    let (mut far, _) = b.accept(&mut listener).await.unwrap();
    assert_eq!(read(&mut far, 15).await, b"into the buffer");
    assert_eq!(hear(&b, &there).await.0, b"into the queue");
}

#[tokio::test(start_paused = true)]
async fn for_a_frozen_host_no_time_passes() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let (start, wall) = (b.now(), b.wall_clock());
    let sleeper = b.clone();
    let sleeping = b.spawn(async move { sleeper.sleep_until(start + secs(10)).await });
    a.sleep_until(a.now() + secs(4)).await;
    network.freeze(B);
    a.sleep_until(a.now() + secs(100)).await;
    assert_eq!(b.now(), start + secs(4));
    network.thaw(B);
    sleeping.await.unwrap();
    assert_eq!(b.now(), start + secs(10));
    assert_eq!(b.wall_clock(), wall + secs(10));
    assert_eq!(a.now(), start + secs(110));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_day_is_set_for_one_host_and_moves_no_clock() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    assert_eq!(a.wall_clock(), b.wall_clock());
    let (now, wall) = (b.now(), b.wall_clock());
    let past = SystemTime::UNIX_EPOCH + secs(5);
    network.set_wall_clock(B, past);
    assert_eq!(b.now(), now);
    a.sleep_until(a.now() + secs(3)).await;
    assert_eq!(b.wall_clock(), past + secs(3));
    assert_eq!(a.wall_clock(), wall + secs(3));
    // It is the machine's: a new process finds it as it was set.
    network.crash(B);
    assert_eq!(network.host(B).wall_clock(), past + secs(3));
}

#[tokio::test(start_paused = true)]
async fn an_armed_place_crashes_the_host_that_passes_it() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let armed = b.faults().arm(Place::BeforeAck, Action::Crash);
    let (mut near, mut far) = connected(&a, &b).await;
    let acknowledging = b.clone();
    let task = b.spawn(async move {
        far.read_u8().await.unwrap();
        let _crashed = acknowledging.faults().at(Place::BeforeAck).await;
        unreachable!("nothing runs on a crashed host");
    });
    near.write_all(b"!").await.unwrap();
    armed.reached().await;
    task.await.unwrap();
    assert_eq!(
        near.read_u8().await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_that_crashes_under_a_lock_sends_nothing_afterwards() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let _armed = b.faults().arm(Place::Queued, Action::Crash);
    let (mut near, mut far) = connected(&a, &b).await;
    let committing = b.clone();
    b.spawn(async move {
        committing.faults().hit(Place::Queued).unwrap_err();
        far.write_all(b"too late").await.unwrap_err();
    });
    assert_eq!(
        near.read_u8().await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
}

#[tokio::test(start_paused = true)]
async fn an_armed_place_stops_the_host_that_passes_it() {
    let network = Network::new(1);
    let (a, b) = (network.host(A), network.host(B));
    let armed = b.faults().arm(Place::BeforeEncode, Action::Stop);
    let (mut near, mut far) = connected(&a, &b).await;
    let committing = b.clone();
    b.spawn(async move {
        committing.faults().at(Place::BeforeEncode).await.unwrap();
        far.write_all(b"at last").await.unwrap();
        far.shutdown().await.unwrap();
        std::future::pending::<()>().await;
    });
    armed.reached().await;
    assert!(stalls(near.read_u8()).await);
    network.resume(B);
    assert_eq!(read(&mut near, 7).await, b"at last");
}

#[tokio::test(start_paused = true)]
async fn ipv6_hosts_are_hosts() {
    let network = Network::new(1);
    let a = network.host("fd00::1".parse::<IpAddr>().unwrap());
    let b = network.host("fd00::2".parse::<IpAddr>().unwrap());
    let (mut near, mut far) = connected(&a, &b).await;
    near.write_all(b"six").await.unwrap();
    assert_eq!(read(&mut far, 3).await, b"six");
    let group = Group::new("ff15::4".parse().unwrap(), 45_564);
    let (here, there) = (
        a.multicast(&group).await.unwrap(),
        b.multicast(&group).await.unwrap(),
    );
    a.send_datagram(&here, b"six").await.unwrap();
    assert_eq!(hear(&b, &there).await, (b"six".to_vec(), a.ip()));
}

/// Three hosts that beat and answer over everything that the network can do to them; the
/// transcript has who heard what, and when.
async fn transcript(seed: u64) -> Vec<String> {
    let network = Network::new(seed);
    network.set_links(Link {
        latency: millis(1),
        jitter: millis(40),
        loss: 0.2,
        duplication: 0.2,
        bytes_per_second: Some(20_000),
    });
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for ip in [A, B, C] {
        let host = network.host(ip);
        let socket = std::sync::Arc::new(host.multicast(&group()).await.unwrap());
        let mut listener = host.listen(port_of(ip)).await.unwrap();
        let (beating, speaking) = (host.clone(), std::sync::Arc::clone(&socket));
        host.spawn(async move {
            for _ in 0..20 {
                let mut beat = [0; 4];
                beating.fill_random(&mut beat);
                beating.send_datagram(&speaking, &beat).await.unwrap();
                beating
                    .sleep_until(beating.now() + millis(u64::from(beat[0])))
                    .await;
            }
        });
        let (hearing, telling) = (host.clone(), tell.clone());
        host.spawn(async move {
            loop {
                let (beat, from) = hear(&hearing, &socket).await;
                telling
                    .send(format!("{hearing:?} {:?} {from} {beat:?}", hearing.now()))
                    .unwrap();
                if from != hearing.ip()
                    && let Ok(mut stream) = hearing.connect(SocketAddr::new(from, 4001)).await
                {
                    stream.write_all(&beat).await.unwrap();
                }
            }
        });
        let (serving, telling) = (host.clone(), tell.clone());
        host.spawn(async move {
            loop {
                let (mut stream, from) = serving.accept(&mut listener).await.unwrap();
                let beat = read(&mut stream, 4).await;
                telling
                    .send(format!("{serving:?} {:?} {from} {beat:?}", serving.now()))
                    .unwrap();
            }
        });
    }
    drop(tell);
    let mut lines = Vec::new();
    while let Ok(Some(line)) = timeout(secs(60), told.recv()).await {
        lines.push(line);
    }
    lines
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_run_to_the_nanosecond() {
    let first = transcript(11).await;
    assert!(first.len() > 100, "{}", first.len());
    assert_eq!(first, transcript(11).await);
    assert_ne!(first, transcript(12).await);
}
