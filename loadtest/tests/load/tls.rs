//! `https`: against a real TLS server.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::Arc,
};

use loadtest::load::{self, Arm, ArmOutcome, Load, Options, Outcome, Variant};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivatePkcs8KeyDer};
use tempfile::TempDir;
use url::Url;

use super::{OK, arm, open, options, outcomes};

/// Larger than a TLS record, and than what is read at once.
const BODY: usize = 200_000;

struct TlsServer {
    address: SocketAddr,
    /// The certificate that it must be trusted by.
    certificate: PathBuf,
    _folder: TempDir,
}

impl TlsServer {
    fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let certificate = folder.path().join("server.pem");
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(config);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                std::thread::spawn(move || serve(StreamOwned::new(tls, stream)));
            }
        });
        Self {
            address,
            certificate,
            _folder: folder,
        }
    }

    fn drive(&self, load: Load, options: Options) -> ArmOutcome {
        let url = format!("https://localhost:{}/", self.address.port());
        let body = "x".repeat(BODY);
        let arm = Arm {
            variants: vec![Variant::default().method("POST").body("text/plain", body)],
            ..arm(Url::parse(&url).unwrap(), load)
        };
        load::run(options, vec![arm]).unwrap().arms.remove(0)
    }
}

/// Answers each request with a body as long as the one that came.
fn serve(mut stream: StreamOwned<ServerConnection, TcpStream>) {
    let mut request = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        request.extend_from_slice(&buffer[..count]);
        let head = request.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(head) = head.filter(|head| request.len() >= head + 4 + BODY) else {
            continue;
        };
        let body = request.split_off(head + 4);
        request.clear();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all(head.as_bytes()).is_err() || stream.write_all(&body).is_err() {
            return;
        }
    }
}

fn trusting(server: &TlsServer) -> Options {
    Options {
        connections: 4,
        ca_file: Some(server.certificate.clone()),
        ..options(500)
    }
}

#[test]
fn https_carries_requests_and_answers_of_several_records() {
    let server = TlsServer::start();
    let found = server.drive(open(50.0), trusting(&server));
    assert_eq!(found.outcomes, outcomes([(OK, found.scheduled)]));
    assert_eq!((found.connections_open, found.connections_opened), (4, 4));
    assert!(found.response_bytes > BODY as u64 * found.scheduled);
    assert_eq!(found.receive_lateness.count(), found.scheduled);

    let closed = Load::Closed { connections: 3 };
    let found = server.drive(closed, trusting(&server));
    // Those in flight at the end are read in the drain.
    assert_eq!(found.outcomes, outcomes([(OK, found.scheduled)]));
}

#[test]
fn a_server_whose_certificate_nobody_vouches_for_is_not_spoken_to_and_the_reason_is_told() {
    let (server, other) = (TlsServer::start(), TlsServer::start());
    let found = server.drive(open(50.0), trusting(&other));
    assert_eq!(
        found.outcomes,
        outcomes([(Outcome::Connect, found.scheduled)])
    );
    let fault = found.connect_fault.unwrap();
    assert!(fault.contains("certificate"), "{fault}");
    assert_eq!((found.sent, found.connections_opened), (0, 0));
}

#[test]
fn a_file_without_certificates_is_refused_by_its_name() {
    let server = TlsServer::start();
    let url = Url::parse("https://localhost:1/").unwrap();
    let file = server.certificate.with_file_name("empty.pem");
    std::fs::write(&file, "nothing").unwrap();
    for (file, says) in [
        (file, "no certificate"),
        (
            server.certificate.with_file_name("missing.pem"),
            "missing.pem",
        ),
    ] {
        let options = Options {
            ca_file: Some(file),
            ..options(10)
        };
        let refused = load::run(options, vec![arm(url.clone(), open(1.0))]);
        let told = refused.unwrap_err().to_string();
        assert!(told.contains(says), "{told}");
    }
}
