//! A primary and a replica of Redis behind one address, as a sentinel's clients or a service's
//! virtual address have it.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use system_tests::eventually;

/// Two servers and the address that stands for the one in charge.
pub(crate) struct Pair {
    primary: Server,
    replica: Server,
    address: SocketAddr,
    switch: Arc<Mutex<Switch>>,
}

struct Switch {
    target: SocketAddr,
    /// Both ends of every connection that was made through it.
    open: Vec<TcpStream>,
}

/// A redis-server that ends with the test.
struct Server {
    address: SocketAddr,
    child: Mutex<Child>,
}

impl Pair {
    /// Starts both, the replica in sync.
    pub(crate) fn start() -> Self {
        let primary = Server::start(None);
        let replica = Server::start(Some(primary.address));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let switch = Arc::new(Mutex::new(Switch {
            target: primary.address,
            open: Vec::new(),
        }));
        let shared = Arc::clone(&switch);
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connect(&shared, client);
            }
        });
        let pair = Self {
            primary,
            replica,
            address,
            switch,
        };
        pair.wait_until_replicated();
        pair
    }

    /// Where clients find the one in charge.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Waits until the replica has everything that was written.
    pub(crate) fn wait_until_replicated(&self) {
        eventually("the replica is in sync", || {
            let acknowledged: i64 = redis::cmd("WAIT")
                .arg(1)
                .arg(1000)
                .query(&mut self.primary.connection())
                .ok()?;
            let info: String = redis::cmd("INFO")
                .arg("replication")
                .query(&mut self.replica.connection())
                .ok()?;
            (acknowledged == 1 && info.contains("master_link_status:up")).then_some(())
        });
    }

    /// Makes the replica a primary; clients still write to the old one.
    pub(crate) fn promote(&self) {
        redis::cmd("REPLICAOF")
            .arg(&["NO", "ONE"])
            .exec(&mut self.replica.connection())
            .unwrap();
    }

    /// Makes the replica the primary and the primary its replica, as an operator does for maintenance:
    /// no connection is closed, and who connects from now on reaches the new primary.
    pub(crate) fn switch_over(&self) {
        let mut switch = self.switch.lock().unwrap_or_else(PoisonError::into_inner);
        self.promote();
        let new = self.replica.address;
        redis::cmd("REPLICAOF")
            .arg(&[new.ip().to_string(), new.port().to_string()])
            .exec(&mut self.primary.connection())
            .unwrap();
        switch.target = new;
    }

    /// Kills the old primary and sends clients to the promoted replica.
    pub(crate) fn fail_over(&self) {
        let mut switch = self.switch.lock().unwrap_or_else(PoisonError::into_inner);
        self.primary.kill();
        switch.target = self.replica.address;
        for connection in switch.open.drain(..) {
            // It may have ended by itself.
            drop(connection.shutdown(Shutdown::Both));
        }
    }
}

fn connect(switch: &Mutex<Switch>, client: TcpStream) {
    let mut switch = switch.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(server) = TcpStream::connect(switch.target) else {
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
        switch.open.push(stream.try_clone().unwrap());
    }
    let pairs = [
        (client.try_clone().unwrap(), server.try_clone().unwrap()),
        (server, client),
    ];
    for (mut from, mut to) in pairs {
        thread::spawn(move || {
            // However it ends, the other side is told.
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Both));
        });
    }
}

impl Server {
    fn start(primary: Option<SocketAddr>) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync-delay", "0"])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null());
        if let Some(primary) = primary {
            let (host, port) = (primary.ip().to_string(), primary.port().to_string());
            command.args(["--replicaof", &host, &port]);
        }
        let server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            child: Mutex::new(command.spawn().unwrap()),
        };
        eventually("redis-server answers", || {
            let client = redis::Client::open(format!("redis://{}", server.address)).unwrap();
            let mut connection = client.get_connection().ok()?;
            redis::cmd("PING").exec(&mut connection).ok()
        });
        server
    }

    fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{}", self.address)).unwrap();
        client.get_connection().unwrap()
    }

    fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended already.
        drop(child.kill());
        drop(child.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
