//! One PostgreSQL for all tests of this binary, one database for each test.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::service::eventually;

/// Runs until its standard input ends, which it does when the test process ends, however that
/// happens; then it stops the server and removes the folder.
const OWNER: &str = r#"
set -eu
bin=$1 folder=$2
trap 'rm -rf "$folder"' EXIT
"$bin/initdb" -D "$folder/data" -U auth -A trust --no-sync --no-instructions >"$folder/log" 2>&1
"$bin/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c fsync=off \
    -c max_connections=200 >>"$folder/log" 2>&1 &
cat >/dev/null
kill -INT $!
wait $! || true
"#;

struct Server {
    folder: PathBuf,
    // Its standard input is closed by the system when this process ends.
    _owner: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// The URL of a new, empty database.
pub(crate) async fn new_database() -> String {
    let server = SERVER.get_or_init(Server::start);
    let admin = server.url("postgres");
    eventually("PostgreSQL answers", async || {
        PgConnection::connect(&admin).await.is_ok()
    })
    .await;
    let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    execute(&admin, format!("CREATE DATABASE {name}")).await;
    server.url(&name)
}

/// Lets nobody connect to a database any more and cuts who is connected.
pub(crate) async fn shut(url: &str) {
    let name = database_name(url);
    let admin = SERVER.get().expect("a database was made").url("postgres");
    execute(
        &admin,
        format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"),
    )
    .await;
    kill_connections(url).await;
}

/// Makes every new connection to a database read-only, as one to a replica is, or writable; cuts who
/// is connected before it becomes read-only, as a failover does.
pub(crate) async fn read_only(url: &str, so: bool) {
    let name = database_name(url);
    let admin = SERVER.get().expect("a database was made").url("postgres");
    let setting = format!("ALTER DATABASE {name} SET default_transaction_read_only = {so}");
    execute(&admin, setting).await;
    if so {
        kill_connections(url).await;
    }
}

/// Cuts who is connected to a database.
pub(crate) async fn kill_connections(url: &str) {
    let name = database_name(url);
    let admin = SERVER.get().expect("a database was made").url("postgres");
    execute(
        &admin,
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
    )
    .await;
}

/// Undoes [`shut`].
pub(crate) async fn reopen(url: &str) {
    let admin = SERVER.get().expect("a database was made").url("postgres");
    let name = database_name(url);
    execute(
        &admin,
        format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"),
    )
    .await;
}

async fn execute(url: &str, statement: String) {
    let mut connection = PgConnection::connect(url)
        .await
        .expect("PostgreSQL answers");
    sqlx::query(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .expect("the statement is right");
    connection.close().await.expect("the connection closes");
}

fn database_name(url: &str) -> &str {
    let (_, path) = url.rsplit_once("localhost/").expect("a URL made here");
    path.split('?').next().expect("a name")
}

impl Server {
    fn start() -> Self {
        let binaries = newest_binaries().expect(
            "PostgreSQL is installed: install it, for instance with `apt-get install postgresql`",
        );
        let folder = tempfile::tempdir().expect("a temporary folder").keep();
        // initdb refuses to run as root; Debian's package brings a user for it.
        let mut command = if rustix::process::geteuid().is_root() {
            Command::new("chown")
                .arg("postgres")
                .arg(&folder)
                .status()
                .expect("chown runs");
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                "sh",
            ]);
            command
        } else {
            Command::new("sh")
        };
        let owner = command
            .args(["-c", OWNER, "owner"])
            .arg(binaries)
            .arg(&folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C ends the tests, and only through them the server.
            .process_group(0)
            .spawn()
            .expect("sh runs");
        Self {
            folder,
            _owner: owner,
        }
    }

    fn url(&self, database: &str) -> String {
        format!(
            "postgres://auth@localhost/{database}?host={}",
            self.folder.display()
        )
    }
}

/// Debian keeps the server's programs beside PATH, in a folder for each version.
fn newest_binaries() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, binaries)| Path::new(binaries).join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().map(|(_, binaries)| binaries)
}
