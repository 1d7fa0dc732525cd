//! The network in memory, and the verbs of its faults.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::host::Host;
use super::link::{Cut, Link, Way};
use super::state::{Shared, State};

/// A network in memory. Cheap to clone; all clones are the same.
///
/// Two hosts that were not told otherwise are joined by a perfect [`Link`]. Whatever is changed
/// here counts from this instant on, for what is under way as each verb says.
#[derive(Clone, Debug)]
pub struct Network {
    shared: Arc<Shared>,
}

impl Network {
    /// A network on the runtime of the caller, whose clock it follows. All that is random in it is
    /// decided by `seed`.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn new(seed: u64) -> Self {
        Self {
            shared: Arc::new(Shared::new(Handle::current(), seed)),
        }
    }

    /// The process on the host with this address. The first call starts it, and so does the first
    /// one after a [`crash`](Self::crash): with a new clock, new random numbers, nothing armed and
    /// nothing running.
    ///
    /// # Panics
    ///
    /// If the address is unspecified or one of multicast.
    pub fn host(&self, ip: impl Into<IpAddr>) -> Host {
        let ip = ip.into();
        assert!(
            !ip.is_unspecified() && !ip.is_multicast(),
            "{ip} is not the address of a host"
        );
        Host::start(&self.shared, ip)
    }

    /// Ends the process on a host without a word, as `SIGKILL` does. The kernel lives on: peers see
    /// a reset behind whatever had been sent, and who connects is refused. For a machine that loses
    /// its power [`isolate`](Self::isolate) it first.
    ///
    /// Its tasks are dropped when they are polled next, which they are at once.
    pub fn crash(&self, host: impl Into<IpAddr>) {
        let ip = host.into();
        self.shared.alter(|state, now| {
            if let Some(process) = state.process_on(ip) {
                state.crash(process, now);
            }
        });
    }

    /// Stops the process on a host, as `SIGSTOP` does: it neither runs nor reads nor writes, and
    /// its timers wait. Its kernel goes on: connections are still taken up to a backlog, bytes and
    /// datagrams up to the size of their buffers. Its clock goes on as well.
    pub fn pause(&self, host: impl Into<IpAddr>) {
        self.change(host, |state, ip, _| {
            if let Some(host) = state.hosts.get_mut(&ip) {
                host.paused = true;
            }
        });
    }

    /// Lets a paused host go on.
    pub fn resume(&self, host: impl Into<IpAddr>) {
        self.change(host, |state, ip, _| {
            if let Some(host) = state.hosts.get_mut(&ip) {
                host.paused = false;
            }
        });
    }

    /// Stops a host together with its clocks, as a machine that is saved and restored.
    pub fn freeze(&self, host: impl Into<IpAddr>) {
        self.change(host, |state, ip, now| {
            if let Some(host) = state.hosts.get_mut(&ip) {
                host.clock.freeze(now);
            }
        });
    }

    /// Lets a frozen host go on; for it no time has passed.
    pub fn thaw(&self, host: impl Into<IpAddr>) {
        self.change(host, |state, ip, now| {
            if let Some(host) = state.hosts.get_mut(&ip) {
                host.clock.thaw(now);
            }
        });
    }

    /// Sets the time of day on a host. It goes on from there.
    pub fn set_wall_clock(&self, host: impl Into<IpAddr>, to: SystemTime) {
        self.change(host, |state, ip, now| {
            if let Some(host) = state.hosts.get_mut(&ip) {
                host.clock.set_wall_clock(now, to);
            }
        });
    }

    /// Cuts two hosts off from each other. Streams stall: what is written is held, however long it
    /// takes, and arrives after the repair; ends and resets too. Datagrams are lost, those under
    /// way as well. Who connects waits.
    pub fn partition(&self, a: impl Into<IpAddr>, b: impl Into<IpAddr>) {
        let (a, b) = (a.into(), b.into());
        self.cut(&[(a, b), (b, a)], Cut::Parted);
    }

    /// Cuts one direction only.
    pub fn partition_one_way(&self, from: impl Into<IpAddr>, to: impl Into<IpAddr>) {
        self.cut(&[(from.into(), to.into())], Cut::Parted);
    }

    /// Cuts a host off from every other one that is known by now.
    pub fn isolate(&self, host: impl Into<IpAddr>) {
        let ip = host.into();
        self.shared.alter(|state, now| {
            let others: Vec<IpAddr> = state.hosts.keys().copied().filter(|it| *it != ip).collect();
            for other in others {
                state.cut((ip, other), Cut::Parted, now);
                state.cut((other, ip), Cut::Parted, now);
            }
        });
    }

    /// Holds everything between two hosts back, datagrams too, until it is
    /// [released](Self::release).
    pub fn hold(&self, a: impl Into<IpAddr>, b: impl Into<IpAddr>) {
        let (a, b) = (a.into(), b.into());
        self.cut(&[(a, b), (b, a)], Cut::Held);
    }

    /// Holds one direction only.
    pub fn hold_one_way(&self, from: impl Into<IpAddr>, to: impl Into<IpAddr>) {
        self.cut(&[(from.into(), to.into())], Cut::Held);
    }

    /// Opens both directions between two hosts. What was held sets out now.
    pub fn repair(&self, a: impl Into<IpAddr>, b: impl Into<IpAddr>) {
        let (a, b) = (a.into(), b.into());
        self.shared.alter(|state, now| {
            state.open((a, b), now);
            state.open((b, a), now);
        });
    }

    /// Lets go what was held between two hosts: [`repair`](Self::repair) by the name that belongs
    /// to [`hold`](Self::hold).
    pub fn release(&self, a: impl Into<IpAddr>, b: impl Into<IpAddr>) {
        self.repair(a, b);
    }

    /// Opens everything that is cut or held.
    pub fn repair_all(&self) {
        self.shared.alter(|state, now| {
            for way in state.links.all_cuts() {
                state.open(way, now);
            }
        });
    }

    /// Resets all connections between two hosts, both of which live on, as a firewall may. What was
    /// under way is lost.
    pub fn reset_connections(&self, a: impl Into<IpAddr>, b: impl Into<IpAddr>) {
        let way = (a.into(), b.into());
        self.shared.alter(|state, _| state.reset_pipes(way));
    }

    /// Makes every way of the network like this one, those that were
    /// [set](Self::set_link) before too. What is under way keeps its time.
    ///
    /// # Panics
    ///
    /// If a probability is not between 0 and 1, or the rate is 0.
    pub fn set_links(&self, link: Link) {
        link.check();
        self.shared.alter(|state, _| state.links.set_all(link));
    }

    /// Makes one direction between two hosts like this. What is under way keeps its time.
    ///
    /// # Panics
    ///
    /// If a probability is not between 0 and 1, or the rate is 0.
    pub fn set_link(&self, from: impl Into<IpAddr>, to: impl Into<IpAddr>, link: Link) {
        link.check();
        let way = (from.into(), to.into());
        self.shared.alter(|state, _| state.links.set(way, link));
    }

    /// How many bytes each direction of a connection holds before its writer waits; 65 536 unless
    /// set.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn set_stream_capacity(&self, bytes: usize) {
        assert!(bytes > 0, "a stream that holds nothing carries nothing");
        self.shared.alter(|state, _| state.stream_capacity = bytes);
    }

    fn change(&self, host: impl Into<IpAddr>, f: impl FnOnce(&mut State, IpAddr, Instant)) {
        let ip = host.into();
        self.shared.alter(|state, now| f(state, ip, now));
    }

    fn cut(&self, ways: &[Way], cut: Cut) {
        self.shared.alter(|state, now| {
            for way in ways {
                state.cut(*way, cut, now);
            }
        });
    }
}

impl State {
    fn cut(&mut self, way: Way, cut: Cut, now: Instant) {
        if way.0 == way.1 {
            return;
        }
        if !self.links.is_cut(way) {
            self.settle_pipes(way, now);
        }
        if cut == Cut::Parted {
            self.lose_datagrams(way, now);
        }
        self.links.cut(way, cut);
    }

    fn open(&mut self, way: Way, now: Instant) {
        if self.links.open(way) {
            self.resume_pipes(way, now);
            self.resume_datagrams(way, now);
        }
    }
}
