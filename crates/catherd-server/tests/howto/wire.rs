//! What a bystander sees of a node on the network.

use std::io::{self, Read as _};
use std::net::{TcpListener, UdpSocket};

use catherd_core::message::{FrameReader, Heartbeat, Message};
use catherd_testkit::{Farm, Node, wait};

/// The next heartbeat of the node `name` in the farm's group.
pub(crate) fn next_heartbeat(group: &UdpSocket, farm: &Farm, name: &str) -> Heartbeat {
    let mut buffer = [0; 2048];
    loop {
        let len = group
            .recv(&mut buffer)
            .expect("nodes say that they are there");
        let heartbeat = Heartbeat::from_datagram(&buffer[..len], &farm.cluster_id(), None);
        if let Ok(heartbeat) = heartbeat
            && heartbeat.name == name
        {
            return heartbeat;
        }
    }
}

/// The first message of whoever connects to `listener` next.
pub(crate) fn first_message(listener: &TcpListener) -> Message {
    listener
        .set_nonblocking(true)
        .expect("a listener can be set so");
    let accept = || listener.accept().map_err(|error| error.to_string());
    let ((mut stream, _), _) = wait::until("somebody connects", wait::PATIENCE, accept);
    stream
        .set_nonblocking(false)
        .expect("a connection can be set so");
    stream
        .set_read_timeout(Some(wait::PATIENCE))
        .expect("a time-out above zero is valid");
    let (mut buffer, mut part) = (bytes::BytesMut::new(), [0; 4096]);
    loop {
        let frame = FrameReader::new(4096)
            .next(&mut buffer)
            .expect("it sends frames");
        if let Some((head, payload)) = frame {
            let message = Message::decode(head.kind, &payload, None, 4096);
            return message
                .expect("it sends messages")
                .expect("it sends known ones");
        }
        let len = match stream.read(&mut part) {
            Ok(0) => panic!("it closed the connection without a message"),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => panic!("it sent no message: {error}"),
        };
        buffer.extend_from_slice(&part[..len]);
    }
}

/// How many connections to the receiver of `node` are established, by the clients' count.
pub(crate) fn connections_to(node: &Node) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("this is Linux");
    let remote = format!(":{:04X}", node.tcp_port());
    let established = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [_, _, to, "01", ..] if to.ends_with(&remote))
    };
    table.lines().filter(established).count()
}
