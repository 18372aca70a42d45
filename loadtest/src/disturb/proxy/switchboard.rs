//! The loop of the proxy's thread: every link, every connection, one epoll.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    net::SocketAddr,
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
    Command, Condition, Passage, go_first,
    link::Link,
    pair::{Left, Pair},
};

/// A sleep ends so long before something is due, and the rest is waited for awake: a sleeper is woken
/// some ten microseconds late, and by more the deeper the processor sleeps.
const AWAKE: Duration = Duration::from_micros(60);
/// Upper bound of a sleep when nothing is due.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
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

pub(super) struct Switchboard {
    epoll: OwnedFd,
    wake: OwnedFd,
    commands: mpsc::Receiver<Command>,
    links: Vec<Link>,
    pairs: BTreeMap<u64, Pair>,
    /// Pairs that have something to pass on, by the moment when it is due.
    dues: BTreeSet<(Instant, u64)>,
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
            dues: BTreeSet::new(),
            next_pair: 0,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Until it is told to stop.
    pub(super) fn run(mut self) {
        go_first();
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

    /// Until shortly before the next moment that counts. Both kinds are absolute: a sleep that ended
    /// late makes nothing after it late.
    fn sleep(&self) -> Duration {
        let now = Instant::now();
        let until = |moment: Instant| moment.saturating_duration_since(now);
        let due = self.dues.first();
        let due = due.map(|(due, _)| until(*due).saturating_sub(AWAKE));
        let probes = self.links.iter().filter_map(|link| link.probe_at);
        due.into_iter()
            .chain(probes.map(until))
            .fold(LONGEST_SLEEP, Duration::min)
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
        let link = Link::to(target)?;
        let address = link.address();
        let index = self.links.len();
        self.links.push(link);
        self.look_at_target(index);
        Ok((index, address))
    }

    fn look_at_target(&mut self, index: usize) {
        let token = Token::Listener(index).data();
        self.links[index].look_at_target(&self.epoll, token);
    }

    fn set(&mut self, index: usize, condition: Condition) {
        let connected: Vec<u64> = self
            .pairs
            .iter()
            .filter(|(_, pair)| pair.link == index)
            .map(|(number, _)| *number)
            .collect();
        self.links[index].set(condition);
        match condition.passage {
            Passage::Refused => {
                for number in connected {
                    if let Some(mut pair) = self.remove(number) {
                        pair.reset();
                    }
                }
            }
            Passage::Stalled => connected.into_iter().for_each(|number| self.list(number)),
            Passage::Open => {
                if self.links[index].listener.is_none() {
                    self.look_at_target(index);
                }
                self.accept(index);
                connected.into_iter().for_each(|number| self.serve(number));
            }
        }
    }

    fn accept(&mut self, index: usize) {
        loop {
            let link = &self.links[index];
            if link.passage() == Passage::Stalled {
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
        if link.passage() == Passage::Stalled {
            return;
        }
        let ended_before = pair.target_ended();
        let left = pair.serve(&mut link.way(), &mut self.buffer);
        // A target that ends a connection may be one that ends.
        if left == Left::Refused || (pair.target_ended() && !ended_before) {
            link.probe_at = Some(Instant::now());
        }
        if left == Left::Open {
            self.list(number);
        } else {
            self.remove(number);
        }
    }

    /// Lists a pair under the moment when it has something to pass on.
    fn list(&mut self, number: u64) {
        let Some(pair) = self.pairs.get_mut(&number) else {
            return;
        };
        let stalled = self.links[pair.link].passage() == Passage::Stalled;
        let due = pair.due().filter(|_| !stalled);
        if due == pair.listed {
            return;
        }
        if let Some(listed) = pair.listed {
            self.dues.remove(&(listed, number));
        }
        self.dues.extend(due.map(|due| (due, number)));
        pair.listed = due;
    }

    fn remove(&mut self, number: u64) -> Option<Pair> {
        let pair = self.pairs.remove(&number)?;
        if let Some(listed) = pair.listed {
            self.dues.remove(&(listed, number));
        }
        Some(pair)
    }

    fn pass_on_what_is_due(&mut self) {
        let now = Instant::now();
        // Once each: what is read meanwhile waits for its turn.
        let due: Vec<u64> = self
            .dues
            .iter()
            .take_while(|(due, _)| *due <= now)
            .map(|(_, number)| *number)
            .collect();
        due.into_iter().for_each(|number| self.serve(number));
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
