//! The loop of the proxy's thread: every link, every connection, one epoll.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream},
    num::NonZeroU64,
    os::fd::{AsFd, OwnedFd},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
};
use socket2::{Domain, Socket, Type};

use super::{
    Command, Condition, Passage,
    pair::{Left, Pair},
};
use crate::subject::stack::Reservation;

/// How often a target that refuses is tried again.
const PROBE: Duration = Duration::from_millis(5);
/// A target on this machine answers a handshake at once, or its queue is full.
const PROBE_PATIENCE: Duration = Duration::from_millis(10);
/// Upper bound of a sleep when nothing is due.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
const BACKLOG: i32 = 1_024;
const EVENTS: usize = 64;
const BUFFER_BYTES: usize = 64 * 1024;

/// Whose event it is: two bits of kind below an index of a link or the number of a pair. Pairs are
/// numbered in the order of their making, so that a late event finds nobody in place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Wake,
    Listener(usize),
    Client(u64),
    Target(u64),
}

impl Token {
    fn data(self) -> EventData {
        let (number, kind) = match self {
            Self::Wake => (0, 0),
            Self::Listener(index) => (index as u64, 1),
            Self::Client(number) => (number, 2),
            Self::Target(number) => (number, 3),
        };
        EventData::new_u64(number << 2 | kind)
    }

    fn of(data: EventData) -> Self {
        let number = data.u64() >> 2;
        match data.u64() & 3 {
            0 => Self::Wake,
            1 => Self::Listener(number as usize),
            2 => Self::Client(number),
            _ => Self::Target(number),
        }
    }
}

struct Link {
    port: Reservation,
    target: SocketAddr,
    condition: Condition,
    /// Closed while the target refuses, or this link does.
    listener: Option<Socket>,
    /// When the target is tried next, to see whether it listens.
    probe_at: Option<Instant>,
}

pub(super) struct Switchboard {
    epoll: OwnedFd,
    wake: OwnedFd,
    commands: mpsc::Receiver<Command>,
    links: Vec<Link>,
    pairs: BTreeMap<u64, Pair>,
    next_pair: u64,
    buffer: Vec<u8>,
}

impl Switchboard {
    pub(super) fn new(commands: mpsc::Receiver<Command>, wake: OwnedFd) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &wake, Token::Wake.data(), EventFlags::IN)?;
        Ok(Self {
            epoll,
            wake,
            commands,
            links: Vec::new(),
            pairs: BTreeMap::new(),
            next_pair: 0,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Until it is told to stop.
    pub(super) fn run(mut self) {
        // Without this the kernel rounds sleeps up by 50 µs.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let sleep = self.sleep();
            let timeout = Timespec {
                tv_sec: sleep.as_secs() as i64,
                tv_nsec: i64::from(sleep.subsec_nanos()),
            };
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, spare, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                // The descriptor is ours and valid: nothing is left to be done.
                Err(_) => return,
            }
            for event in &events {
                match Token::of(event.data) {
                    Token::Wake => {
                        if !self.obey() {
                            return;
                        }
                    }
                    Token::Listener(link) => self.accept(link),
                    Token::Client(pair) => self.event(pair, 0, event.flags),
                    Token::Target(pair) => self.event(pair, 1, event.flags),
                }
            }
            self.pass_on_what_is_due();
            self.probe();
        }
    }

    fn sleep(&self) -> Duration {
        let due = self
            .pairs
            .values()
            .filter(|pair| self.links[pair.link].condition.passage != Passage::Stalled)
            .filter_map(Pair::due)
            .chain(self.links.iter().filter_map(|link| link.probe_at))
            .min();
        due.map_or(LONGEST_SLEEP, |due| {
            due.saturating_duration_since(Instant::now())
        })
    }

    /// Does what it was told; whether it goes on.
    fn obey(&mut self) -> bool {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Stop => return false,
                // Whoever does not wait for the answer has gone.
                Command::Listen(target, done) => drop(done.send(self.link(target))),
                Command::Set(link, condition, done) => {
                    self.set(link, condition);
                    let _ = done.send(());
                }
            }
        }
        true
    }

    fn link(&mut self, target: SocketAddr) -> io::Result<(usize, SocketAddr)> {
        let port = Reservation::loopback()?;
        let address = port.address;
        let index = self.links.len();
        self.links.push(Link {
            port,
            target,
            condition: Condition::default(),
            listener: None,
            probe_at: None,
        });
        self.look_at_target(index);
        Ok((index, address))
    }

    fn set(&mut self, index: usize, condition: Condition) {
        self.links[index].condition = condition;
        match condition.passage {
            Passage::Refused => {
                self.links[index].listener = None;
                self.links[index].probe_at = None;
                self.pairs.retain(|_, pair| {
                    if pair.link == index {
                        pair.reset();
                    }
                    pair.link != index
                });
            }
            Passage::Stalled => {}
            Passage::Open => {
                if self.links[index].listener.is_none() {
                    self.look_at_target(index);
                }
                self.accept(index);
                let held: Vec<u64> = self.numbers(|pair| pair.link == index);
                for number in held {
                    self.serve(number);
                }
            }
        }
    }

    /// Listens if the target does, and does not if it does not.
    fn look_at_target(&mut self, index: usize) {
        let link = &mut self.links[index];
        link.probe_at = None;
        if link.condition.passage == Passage::Refused {
            return;
        }
        match TcpStream::connect_timeout(&link.target, PROBE_PATIENCE) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                link.listener = None;
                link.probe_at = Some(Instant::now() + PROBE);
            }
            // A target that is too busy to answer is there.
            _ if link.listener.is_some() => {}
            _ => match self.listen(index) {
                Ok(listener) => self.links[index].listener = Some(listener),
                Err(_) => self.links[index].probe_at = Some(Instant::now() + PROBE),
            },
        }
    }

    fn listen(&self, index: usize) -> io::Result<Socket> {
        let listener = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
        listener.set_reuse_address(true)?;
        listener.bind(&self.links[index].port.address.into())?;
        listener.listen(BACKLOG)?;
        let token = Token::Listener(index).data();
        epoll::add(
            &self.epoll,
            &listener,
            token,
            EventFlags::IN | EventFlags::ET,
        )?;
        Ok(listener)
    }

    fn accept(&mut self, index: usize) {
        loop {
            let link = &self.links[index];
            if link.condition.passage == Passage::Stalled {
                return;
            }
            let Some(listener) = &link.listener else {
                return;
            };
            match listener.accept() {
                Ok((client, _)) => {
                    let target = link.target;
                    // A client that cannot be served sees its connection end.
                    if let Ok(pair) = self.connect(index, client, target) {
                        self.serve(pair);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Begins a connection to the target, for one of a client; gives the number of the pair.
    fn connect(&mut self, link: usize, client: Socket, target: SocketAddr) -> io::Result<u64> {
        client.set_nonblocking(true)?;
        client.set_tcp_nodelay(true)?;
        let there = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
        there.set_tcp_nodelay(true)?;
        match there.connect(&target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => {
                client.set_linger(Some(Duration::ZERO))?;
                self.links[link].probe_at = Some(Instant::now());
                return Err(error);
            }
        }
        let number = self.next_pair;
        self.next_pair += 1;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(
            &self.epoll,
            client.as_fd(),
            Token::Client(number).data(),
            flags,
        )?;
        epoll::add(
            &self.epoll,
            there.as_fd(),
            Token::Target(number).data(),
            flags,
        )?;
        self.pairs.insert(number, Pair::new(link, client, there));
        Ok(number)
    }

    fn event(&mut self, number: u64, side: usize, flags: EventFlags) {
        let reading = EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        let writing = EventFlags::OUT | EventFlags::HUP | EventFlags::ERR;
        if let Some(pair) = self.pairs.get_mut(&number) {
            pair.ready(side, flags.intersects(reading), flags.intersects(writing));
            self.serve(number);
        }
    }

    fn serve(&mut self, number: u64) {
        let Some(pair) = self.pairs.get_mut(&number) else {
            return;
        };
        let link = &mut self.links[pair.link];
        if link.condition.passage == Passage::Stalled {
            return;
        }
        let ended_before = pair.target_ended();
        let left = pair.serve(link.condition.delay, &mut self.buffer);
        // A target that ends a connection may be one that ends.
        if left == Left::Refused || (pair.target_ended() && !ended_before) {
            link.probe_at = Some(Instant::now());
        }
        if left != Left::Open {
            self.pairs.remove(&number);
        }
    }

    fn numbers(&self, wanted: impl Fn(&Pair) -> bool) -> Vec<u64> {
        let pairs = self.pairs.iter().filter(|(_, pair)| wanted(pair));
        pairs.map(|(number, _)| *number).collect()
    }

    fn pass_on_what_is_due(&mut self) {
        let now = Instant::now();
        for number in self.numbers(|pair| pair.due().is_some_and(|due| due <= now)) {
            self.serve(number);
        }
    }

    fn probe(&mut self) {
        let now = Instant::now();
        for index in 0..self.links.len() {
            if self.links[index].probe_at.is_some_and(|at| at <= now) {
                self.look_at_target(index);
            }
        }
    }
}
