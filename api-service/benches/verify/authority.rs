//! An authorization server for the benchmark, in a process of its own, so that its processor time is
//! not ours. It says of every id that it is active.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use crate::now;

const VARIABLE: &str = "STATEWISE_BENCH_AUTHORITY";

/// The process, which ends with its standard input.
pub(crate) struct Authority {
    process: Child,
    port: u16,
}

impl Authority {
    /// Starts this program again, as the authority.
    pub(crate) fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(VARIABLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        Self {
            process,
            port: port.trim().parse().unwrap(),
        }
    }

    pub(crate) fn url(&self) -> url::Url {
        format!("http://127.0.0.1:{}/", self.port).parse().unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether this process is to be the authority.
pub(crate) fn asked_for() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Answers until standard input ends.
#[expect(clippy::print_stdout, reason = "the parent reads the port")]
pub(crate) fn serve() -> ! {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    // Ends when the parent does.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0)
}

/// Answers the requests of one connection until it ends.
fn answer(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    let document = format!(
        r#"{{"active":true,"sub":"u-1","username":"ada","roles":["user"],"sid":"s-1","iat":{},"exp":{}}}"#,
        now(),
        now() + 3_600
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{document}",
        document.len()
    );
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        writer.write_all(answer.as_bytes()).ok()?;
    }
}
