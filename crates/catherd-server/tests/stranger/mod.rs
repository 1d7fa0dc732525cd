//! A process that says to be a member, and then what a test wants it to say: written by hand over
//! the codec. It sends no heartbeats, so a node must be patient with it.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use catherd_core::message::{
    FrameReader, Hello, MemberState, Message, Protocols, Purpose, Welcome,
};
use catherd_core::version::Incarnation;
use catherd_testkit::wait::{self, PATIENCE};
use catherd_testkit::{Farm, Node};

/// What a process says first that nobody knows and that will be called back at `address`.
pub(crate) fn hello(
    cluster: &str,
    name: &str,
    incarnation: Incarnation,
    address: SocketAddr,
) -> Hello {
    Hello {
        protocols: Protocols::OURS,
        cluster: cluster.to_owned(),
        name: name.to_owned(),
        incarnation,
        address,
        domain: "catalina".to_owned(),
        state: MemberState::Joining,
        purpose: Purpose::Link,
        to: None,
        counter_heard: 0,
        silence: Duration::ZERO,
        settings: 0,
    }
}

/// Its name, its process, and where it listens.
pub(crate) struct Stranger {
    cluster: String,
    name: String,
    pub(crate) incarnation: Incarnation,
    listener: TcpListener,
}

impl Stranger {
    pub(crate) fn new(farm: &Farm, name: &str, bits: u64) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        listener
            .set_nonblocking(true)
            .expect("a listener can be set so");
        Self {
            cluster: farm.cluster_id(),
            name: name.to_owned(),
            incarnation: Incarnation::from_bits(bits),
            listener,
        }
    }

    /// What it says first. Its domain is its own, so that nobody compares sessions with it.
    pub(crate) fn hello(&self) -> Hello {
        let (cluster, name) = (&self.cluster, &self.name);
        Hello {
            domain: "elsewhere".to_owned(),
            ..hello(cluster, name, self.incarnation, self.address())
        }
    }

    /// Becomes a member of a node: its own connection to it, and the node's.
    pub(crate) fn join(&self, node: &Node) -> (Connection, Connection) {
        let mut to = Connection::to(node);
        to.say(&Message::Hello(self.hello()));
        let welcome = to.next();
        assert!(matches!(welcome, Some(Message::Welcome(_))), "{welcome:?}");
        (to, self.welcome())
    }

    fn welcome(&self) -> Connection {
        let accept = || self.listener.accept().map_err(|error| error.to_string());
        let ((stream, _), _) = wait::until("the node calls back", PATIENCE, accept);
        stream
            .set_nonblocking(false)
            .expect("a connection can be set so");
        let mut connection = Connection::over(stream);
        let hello = connection.next();
        assert!(matches!(hello, Some(Message::Hello(_))), "{hello:?}");
        connection.say(&Message::Welcome(Welcome {
            protocol: 1,
            name: self.name.clone(),
            incarnation: self.incarnation,
            state: MemberState::Joining,
            counter_heard: 0,
            silence: Duration::ZERO,
            settings: 0,
            heard: Vec::new(),
        }));
        connection
    }

    fn address(&self) -> SocketAddr {
        let address = self.listener.local_addr();
        address.expect("a bound socket has an address")
    }
}

/// One connection with a node.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    pub(crate) fn to(node: &Node) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, node.tcp_port()));
        Self::over(stream.expect("the receiver listens"))
    }

    fn over(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out above zero is valid");
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Sends until the node does not want more; how it ends is its business.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    pub(crate) fn say(&mut self, message: &Message) {
        self.send(&message.to_frame(None));
    }

    /// What comes next; `None` when the node has closed the connection.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let mut part = [0; 16 * 1024];
        loop {
            let next = FrameReader::new(1 << 20).next(&mut self.buffer);
            if let Some((head, payload)) = next.expect("nodes send frames") {
                let message = Message::decode(head.kind, &payload, None, 1 << 20);
                return message.expect("nodes send messages");
            }
            match self.stream.read(&mut part) {
                Ok(0) => return None,
                Ok(len) => self.buffer.extend_from_slice(&part[..len]),
                // It closed without having read everything.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the node neither says nor closes anything: {error}"),
            }
        }
    }

    pub(crate) fn read_to_the_end(&mut self) {
        while self.next().is_some() {}
    }
}
