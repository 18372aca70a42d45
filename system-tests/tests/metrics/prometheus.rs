//! Prometheus as a child process, with the rules of `deploy/metrics` in a time of its own: where they
//! say a minute, here are two seconds.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use regex::{Captures, Regex};
use reqwest::blocking::Client;
use serde_json::Value;
use system_tests::{eventually, service::free_port};
use tempfile::TempDir;

/// How much faster time goes here than the rules say: all intervals, ranges and `for`.
const FASTER: u64 = 30;

/// The files that users get.
pub(crate) fn deployed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/metrics")
}

/// A process that is scraped.
pub(crate) struct Target {
    /// As the name under which Compose has it.
    pub(crate) job: String,
    /// Where it has `/metrics`.
    pub(crate) url: String,
}

/// The server; it ends with this value.
pub(crate) struct Prometheus {
    process: Child,
    url: String,
    client: Client,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts a server that scrapes these, and waits until it answers.
    #[track_caller]
    pub(crate) fn start(targets: &[Target]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("prometheus.yml");
        fs::write(&configuration, configured(targets)).unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        for rules in fs::read_dir(deployed().join("rules")).unwrap() {
            let rules = rules.unwrap();
            let text = fs::read_to_string(rules.path()).unwrap();
            let copy = folder.path().join("rules").join(rules.file_name());
            fs::write(copy, faster(&text)).unwrap();
        }
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=exemplar-storage", "--log.level=warn"])
            .stdin(Stdio::null())
            .spawn()
            .expect("prometheus is on PATH: scripts/install.sh prometheus");
        let prometheus = Self {
            process,
            url: format!("http://{address}"),
            client: Client::builder().no_proxy().build().unwrap(),
            _folder: folder,
        };
        eventually("prometheus is ready", || {
            let ready = prometheus.client.get(format!("{}/-/ready", prometheus.url));
            let status = ready.send().ok()?.status();
            status.is_success().then_some(())
        });
        prometheus
    }

    /// `data` of an answer of its API, version 1.
    #[track_caller]
    pub(crate) fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let asked = self
            .client
            .get(format!("{}/api/v1/{path}?{query}", self.url));
        let answer: Value = asked.send().unwrap().json().unwrap();
        assert_eq!(
            answer["status"], "success",
            "{path} {parameters:?}: {answer}"
        );
        answer["data"].clone()
    }

    /// The samples that an expression gives now; a number that is none counts as none.
    #[track_caller]
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        let mut data = self.get("query", &[("query", expression)]);
        let samples = data["result"].take();
        let mut samples: Vec<Value> = serde_json::from_value(samples).unwrap();
        samples.retain(|sample| sample["value"][1] != "NaN");
        samples
    }

    /// Alerts that fire now, by name.
    #[track_caller]
    pub(crate) fn firing(&self) -> BTreeSet<String> {
        let alerts = self.get("alerts", &[]);
        let alerts = alerts["alerts"].as_array().unwrap().iter();
        alerts
            .filter(|alert| alert["state"] == "firing")
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Every name that a series has had.
    #[track_caller]
    pub(crate) fn names(&self) -> BTreeSet<String> {
        serde_json::from_value(self.get("label/__name__/values", &[])).unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The configuration that users get, in which DNS is replaced by what it would find.
fn configured(targets: &[Target]) -> String {
    let text = fs::read_to_string(deployed().join("prometheus.yml")).unwrap();
    let (general, scraped) = text.split_once("scrape_configs:").unwrap();
    let mut text = faster(general);
    text.push_str("scrape_configs:\n  - job_name: statewise\n    static_configs:\n");
    for Target { job, url } in targets {
        assert!(scraped.contains(job.as_str()), "{job} is not scraped");
        let address = url.trim_start_matches("http://");
        writeln!(
            text,
            "      - targets: [\"{address}\"]\n        labels: {{job: \"{job}\"}}"
        )
        .unwrap();
    }
    text
}

/// A text of rules in which every duration is shorter.
pub(crate) fn faster(text: &str) -> String {
    let durations = Regex::new(r"(\[|for: |_interval: )(\d+)(s|m|h)\b").unwrap();
    let shorter = |found: &Captures<'_>| {
        let unit = match &found[3] {
            "s" => 1,
            "m" => 60,
            _ => 3_600,
        };
        let milliseconds = found[2].parse::<u64>().unwrap() * unit * 1_000 / FASTER;
        format!("{}{milliseconds}ms", &found[1])
    };
    durations.replace_all(text, shorter).into_owned()
}
