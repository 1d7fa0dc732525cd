//! What the machine itself takes for a round trip between two that sleep: who waits for an
//! acknowledgement waits at least for that.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use super::figures::{Measure, median};

const NAME: &str =
    "1 kB to another thread over loopback and 7 bytes back, nothing done with it: p50";

/// A write and its acknowledgement, by their bytes.
const FRAME: usize = 1090;
const ACK: usize = 7;

const TRIPS: usize = 5000;

/// The median of many trips, once a round.
pub(super) fn run(rounds: usize) -> Result<Vec<Measure>, String> {
    let trips = (0..rounds).map(|_| trip());
    let trips: io::Result<Vec<f64>> = trips.collect();
    let trips = trips.map_err(|error| format!("loopback: {error}"))?;
    Ok(vec![Measure::new(NAME, "µs", trips)])
}

fn trip() -> io::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    stream.set_nodelay(true)?;
    let peer = thread::spawn(move || answer(&listener));
    let (frame, mut ack) = ([0; FRAME], [0; ACK]);
    let mut trips = Vec::with_capacity(TRIPS);
    for _ in 0..TRIPS {
        let begin = Instant::now();
        stream.write_all(&frame)?;
        stream.read_exact(&mut ack)?;
        trips.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    drop(stream);
    let ended = peer.join();
    ended.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
    Ok(median(trips))
}

fn answer(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut frame = [0; FRAME];
    // To the end of the connection.
    while stream.read_exact(&mut frame).is_ok() {
        stream.write_all(&[0; ACK])?;
    }
    Ok(())
}
