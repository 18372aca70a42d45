//! Where a stack keeps what outlives a request: a Redis and, when asked for, a PostgreSQL, both of its
//! own; or a Redis that runs already.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::{
        fs::{OpenOptionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use super::{
    StackError,
    account::{Account, unprivileged},
    folder::Folder,
    options::{RedisSource, StackOptions, UserStore},
    ports::Reservation,
    process::Spec,
    programs,
    readiness::Probe,
    secrets,
};

/// The name of the process.
pub(super) const REDIS: &str = "redis";
/// The name of the process.
pub(super) const POSTGRES: &str = "postgres";
/// Its database and its user.
const USERS: &str = "statewise";
/// Several auth-services have a pool of connections each.
const CONNECTIONS: &str = "200";
/// A Redis that takes longer to answer is of no use.
const PATIENCE: Duration = Duration::from_secs(2);

/// What keeps the state of a stack.
pub(super) struct Stores {
    /// Those that are started.
    pub(super) specs: Vec<Spec>,
    pub(super) redis_url: String,
    /// For `AUTH_DATABASE_URL`, with the password; `None` where users are in a file.
    pub(super) database_url: Option<String>,
    /// The files of PostgreSQL, which belong to whoever runs it: nobody else can look into the folder of
    /// the stack.
    pub(super) database: Option<Folder>,
}

impl Stores {
    pub(super) fn prepare(options: &StackOptions, folder: &Path) -> Result<Self, StackError> {
        if options.auth_replicas > 1 && options.users == UserStore::Sqlite {
            return Err(StackError::NoSharedUsers(options.auth_replicas));
        }
        let mut stores = Self {
            specs: Vec::new(),
            redis_url: String::new(),
            database_url: None,
            database: None,
        };
        match &options.redis {
            RedisSource::Url(url) => {
                ask_redis(url)?;
                stores.redis_url.clone_from(url);
            }
            RedisSource::Child => {
                let spec = redis(folder)?;
                stores.redis_url.clone_from(&spec.url);
                stores.specs.push(spec);
            }
        }
        if options.users == UserStore::Postgres {
            let (spec, url, database) = postgres(folder)?;
            stores.specs.push(spec);
            stores.database_url = Some(url);
            stores.database = Some(database);
        }
        Ok(stores)
    }
}

/// A Redis that keeps nothing on disk and refuses writes rather than forget sessions.
fn redis(folder: &Path) -> Result<Spec, StackError> {
    let program = programs::redis()?;
    let port = reserve()?;
    let arguments = [
        ("--bind", port.address.ip().to_string()),
        ("--port", port.address.port().to_string()),
        ("--save", String::new()),
        ("--appendonly", "no".to_owned()),
        ("--maxmemory-policy", "noeviction".to_owned()),
        ("--dir", folder.display().to_string()),
    ];
    Ok(Spec {
        name: REDIS.to_owned(),
        program,
        arguments: arguments
            .into_iter()
            .flat_map(|(name, value)| [OsString::from(name), OsString::from(value)])
            .collect(),
        environment: Vec::new(),
        account: None,
        ended_by: Signal::KILL,
        url: format!("redis://{}", port.address),
        probe: Probe::Redis(port.address),
        log: folder.join("redis.log"),
        ports: vec![port],
    })
}

/// Asks a Redis that runs, so that one that cannot be used is told before anything waits for it.
fn ask_redis(url: &str) -> Result<(), StackError> {
    let ask = || -> Result<(), redis::RedisError> {
        let mut connection = redis::Client::open(url)?.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        redis::cmd("PING").exec(&mut connection)
    };
    ask().map_err(|source| StackError::Redis {
        // Never the whole URL: it may hold a password.
        address: url::Url::parse(url).ok().map_or_else(
            || "what is no URL".to_owned(),
            |url| match (url.host_str(), url.port()) {
                (Some(host), Some(port)) => format!("{host}:{port}"),
                (host, _) => host.unwrap_or(url.path()).to_owned(),
            },
        ),
        source,
    })
}

/// A PostgreSQL with a password, reached over the loopback; its URL with the password, and its files.
fn postgres(logs: &Path) -> Result<(Spec, String, Folder), StackError> {
    let programs = programs::postgres()?;
    let account = unprivileged()?;
    let folder = Folder::make(POSTGRES)?;
    let password = secrets::random_text()?;
    let data = folder.path().join("data");
    make(&programs.join("initdb"), folder.path(), account, &password)?;
    let port = reserve()?;
    let settings = [
        format!("listen_addresses={}", port.address.ip()),
        format!("port={}", port.address.port()),
        "unix_socket_directories=".to_owned(),
        format!("max_connections={CONNECTIONS}"),
    ];
    let url = format!("postgres://{USERS}:{password}@{}/postgres", port.address);
    let mut arguments = vec![OsString::from("-D"), data.into_os_string()];
    for setting in settings {
        arguments.extend(["-c".into(), OsString::from(setting)]);
    }
    let spec = Spec {
        name: POSTGRES.to_owned(),
        program: programs.join("postgres"),
        arguments,
        environment: vec![("LC_ALL".to_owned(), "C".to_owned())],
        account,
        // It ends its own processes then, and gives back its shared memory.
        ended_by: Signal::QUIT,
        // Without the password: everybody may be told.
        url: format!("postgres://{}", port.address),
        probe: Probe::Postgres(port.address),
        log: logs.join("postgres.log"),
        ports: vec![port],
    };
    Ok((spec, url, folder))
}

fn make(
    initdb: &Path,
    folder: &Path,
    account: Option<Account>,
    password: &str,
) -> Result<(), StackError> {
    let failed = |source| StackError::System {
        what: "making the files of PostgreSQL".to_owned(),
        source,
    };
    let secret = folder.join("password");
    let prepare = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&secret)?;
        file.write_all(password.as_bytes())?;
        if let Some(Account { user, group }) = account {
            chown(folder, Some(user), Some(group))?;
            chown(&secret, Some(user), Some(group))?;
        }
        Ok(())
    };
    prepare().map_err(failed)?;
    let mut command = Command::new(initdb);
    command
        .args(["--username", USERS, "--auth", "scram-sha-256"])
        .args(["--encoding", "UTF8", "--locale", "C"])
        // The folder goes with the stack, so that nothing need be on the disk when it begins.
        .args(["--no-sync", "--no-instructions", "--pwfile"])
        .arg(&secret)
        .arg("--pgdata")
        .arg(folder.join("data"))
        .current_dir(folder)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    let output = command.output().map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(failed(io::Error::other(format!("initdb: {said}"))));
    }
    fs::remove_file(&secret).map_err(failed)
}

/// A port of the loopback.
pub(super) fn reserve() -> Result<Reservation, StackError> {
    Reservation::loopback().map_err(StackError::system("reserving a port on 127.0.0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_that_cannot_be_used_is_told_by_its_address_and_without_its_password() {
        let free = reserve().unwrap().address;
        for url in [
            format!("redis://:secret@{free}"),
            "nonsense:secret".to_owned(),
        ] {
            let told = ask_redis(&url).unwrap_err().to_string();
            assert!(!told.contains(":secret@"), "{told}");
        }
        let told = ask_redis(&format!("redis://ada:secret@{free}"))
            .unwrap_err()
            .to_string();
        assert!(
            told.contains(&free.to_string()) && !told.contains("secret"),
            "{told}"
        );
    }
}
