//! Tokens that two readers could read differently, or that one would choke on.

use serde_json::json;

use super::{Attack, Target, attack};
use crate::signer::encode;

pub(super) fn attacks(target: &Target) -> Vec<Attack> {
    [
        hostile_key_ids(target),
        extensions(target),
        ambiguous_json(target),
        too_large_or_too_deep(target),
        another_form(target),
        another_spelling(target),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Signed by the issuer, so that only what is wrong can be the reason.
fn written(target: &Target, header: &str, payload: &str) -> String {
    target.eddsa.sign_as_written(header, payload)
}

const HEADER: &str = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"ed-1"}"#;

fn hostile_key_ids(target: &Target) -> Vec<Attack> {
    let long = |count| json!("k".repeat(count));
    [
        json!("../../../../../../dev/null"),
        json!("/dev/null"),
        json!("/proc/self/environ"),
        json!("..\\..\\windows\\win.ini"),
        json!("file:///etc/hostname"),
        json!("ed-1' OR '1'='1"),
        json!("x' UNION SELECT 'AAAA'-- "),
        json!("ed-1; DROP TABLE keys"),
        json!("| sleep 5"),
        json!("$(id)"),
        json!("${jndi:ldap://127.0.0.1/a}"),
        json!("{{7*7}}"),
        json!("ed-1\u{0}"),
        json!("ed-1\u{0}.pem"),
        json!("\r\nset-cookie: a=b"),
        json!("ed-1 "),
        json!(" ed-1"),
        json!("ED-1"),
        json!("ed\u{2010}1"),
        json!("\u{feff}ed-1"),
        json!("__proto__"),
        json!("constructor"),
        json!(""),
        long(128),
        long(129),
        long(4_000),
        json!(1),
        json!(1.5),
        json!(true),
        json!(null),
        json!([]),
        json!(["ed-1"]),
        json!({"kid": "ed-1"}),
    ]
    .into_iter()
    .map(|kid| {
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": kid}).to_string();
        let what = format!("kid {:.40}", kid.to_string());
        attack(what, written(target, &header, &target.claims.to_string()))
    })
    .collect()
}

fn with_members(target: &Target, more: &str) -> String {
    let header = HEADER.replacen('{', &format!("{{{more},"), 1);
    written(target, &header, &target.claims.to_string())
}

/// RFC 7515 §4.1.11, RFC 7797 §6: what is critical and not understood is refused.
fn extensions(target: &Target) -> Vec<Attack> {
    [
        r#""crit":["exp"],"exp":9999999999"#,
        r#""crit":["b64"],"b64":false"#,
        r#""crit":["b64"],"b64":true"#,
        r#""crit":["x"]"#,
        r#""crit":["alg"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":"x""#,
        r#""crit":{}"#,
        r#""crit":[1]"#,
        r#""crit":[["x"]]"#,
        r#""b64":false"#,
        r#""b64":true"#,
    ]
    .into_iter()
    .map(|more| attack(more, with_members(target, more)))
    .collect()
}

/// Two readers, two tokens: members twice, data after the end, arrays for objects.
fn ambiguous_json(target: &Target) -> Vec<Attack> {
    let claims = target.claims.to_string();
    let mut attacks = Vec::new();
    for more in [
        r#""alg":"none""#,
        r#""alg":"EdDSA""#,
        r#""kid":"rsa-1""#,
        r#""typ":"JWT""#,
        r#""\u006bid":"rsa-1""#,
        r#""x":1,"x":2"#,
        r#""jku":"a","jk\u0075":"b""#,
    ] {
        attacks.push(attack(format!("header {more}"), with_members(target, more)));
    }
    for more in [
        r#""sub":"admin""#,
        r#""\u0073ub":"admin""#,
        r#""roles":["admin"]"#,
        r#""exp":9999999999"#,
        r#""aud":"statewise-api""#,
        r#""iss":"https://issuer.example/auth""#,
        r#""unknown":1,"unknown":1"#,
    ] {
        let twice = claims.replacen('{', &format!("{{{more},"), 1);
        attacks.push(attack(
            format!("claims {more}"),
            written(target, HEADER, &twice),
        ));
    }
    let array = r#"["EdDSA","ed-1","at+jwt"]"#;
    attacks.push(attack("a header as array", written(target, array, &claims)));
    let values = json!([
        target.claims["iss"],
        "u-1",
        "statewise-api",
        "statewise",
        target.claims["iat"],
        target.claims["exp"],
        target.claims["iat"],
        "t-1",
        ["admin"],
        "s",
        "n",
    ]);
    let token = written(target, HEADER, &values.to_string());
    attacks.push(attack("claims as array", token));
    for (before, after) in [
        ("", " {}"),
        ("", "{}"),
        ("", ","),
        ("", "\u{0}"),
        ("", "x"),
        ("\u{feff}", ""),
        ("[", "]"),
        ("//\n", ""),
        ("", "/**/"),
        ("\u{0}", ""),
        ("'", "'"),
        ("\"", "\""),
    ] {
        let around = |text: &str| format!("{before}{text}{after}");
        let what = format!("{before:?} and {after:?} around");
        let token = written(target, &around(HEADER), &claims);
        attacks.push(attack(format!("{what} the header"), token));
        let token = written(target, HEADER, &around(&claims));
        attacks.push(attack(format!("{what} the claims"), token));
    }
    for payload in [
        "",
        "null",
        "[]",
        "{}",
        "7",
        "\"\"",
        "{",
        "}",
        "NaN",
        "{\"exp\":NaN}",
        "{'exp':1}",
    ] {
        attacks.push(attack(
            format!("claims {payload}"),
            written(target, HEADER, payload),
        ));
    }
    attacks
}

fn too_large_or_too_deep(target: &Target) -> Vec<Attack> {
    let claims = target.claims.to_string();
    let with_claim = |more: &str| {
        let payload = claims.replacen('{', &format!("{{{more},"), 1);
        written(target, HEADER, &payload)
    };
    let deep =
        |open: &str, close: &str, depth| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let many: Vec<String> = (0..400).map(|one| format!(r#""m{one}":0"#)).collect();
    vec![
        attack(
            "64 KiB of claims",
            with_claim(&format!(r#""x":"{}""#, "x".repeat(48 << 10))),
        ),
        attack(
            "8 KiB and one",
            with_claim(&format!(r#""x":"{}""#, "x".repeat(6 << 10))),
        ),
        attack("64 KiB of a", "a".repeat(64 << 10)),
        attack("64 KiB of dots", ".".repeat(64 << 10)),
        attack(
            "64 KiB of kid",
            with_members(target, &format!(r#""kid2":"{}""#, "k".repeat(48 << 10))),
        ),
        attack(
            "roles 1000 deep",
            with_claim(&format!(r#""roles2":0,"aud":{}"#, deep("[", "]", 1_000))),
        ),
        attack("open arrays", written(target, HEADER, &"[".repeat(5_000))),
        attack(
            "open objects",
            written(target, HEADER, &r#"{"a":"#.repeat(1_000)),
        ),
        attack(
            "deep arrays",
            written(target, HEADER, &deep("[", "]", 2_500)),
        ),
        attack(
            "a deep header",
            written(target, &deep("[", "]", 2_500), &claims),
        ),
        attack(
            "a deep member twice",
            with_members(target, &format!(r#""x":{0},"x":{0}"#, deep("[", "]", 500))),
        ),
        attack("400 claims", with_claim(&many.join(","))),
        attack("400 header members", with_members(target, &many.join(","))),
        attack(
            "a long number",
            with_claim(&format!(r#""nbf":{}"#, "9".repeat(2_000))),
        ),
        attack("a large exponent", with_claim(r#""nbf":1e999999999"#)),
        attack(
            "half a pair of surrogates",
            written(target, HEADER, &claims.replace(r#""u-1""#, r#""\ud800""#)),
        ),
    ]
}

fn another_form(target: &Target) -> Vec<Attack> {
    let good = target.eddsa.sign(&target.claims);
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts")
    };
    let general =
        json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]});
    let flat = json!({"payload": payload, "protected": header, "signature": signature});
    let jwe = encode(r#"{"alg":"dir","enc":"A256GCM","typ":"at+jwt","kid":"ed-1"}"#);
    let zipped = encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF","kid":"rsa-1"}"#);
    let forms = [
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("five parts", format!("{good}.AA.AA")),
        (
            "JWE",
            format!("{jwe}..AAAAAAAAAAAAAAAA.{payload}.AAAAAAAAAAAAAAAAAAAAAA"),
        ),
        (
            "JWE, compressed",
            format!("{zipped}.AAAA.AAAAAAAAAAAAAAAA.{payload}.AAAAAAAAAAAAAAAAAAAAAA"),
        ),
        ("a dot before", format!(".{good}")),
        ("a dot after", format!("{good}.")),
        ("two dots within", good.replacen('.', "..", 1)),
        ("dots", "..".to_owned()),
        ("three dots", "...".to_owned()),
        ("general JSON", general.to_string()),
        ("flat JSON", flat.to_string()),
        ("two tokens", format!("{good},{good}")),
        ("a token and a word", format!("{good} x")),
        ("quoted", format!("\"{good}\"")),
        ("another token type", format!("at+jwt {good}")),
        ("a session id", encode([7; 32])),
        ("SD-JWT", format!("{good}~WyJhIiwic3ViIiwiYWRtaW4iXQ~")),
    ];
    forms.map(|(what, token)| attack(what, token)).into()
}

/// RFC 7515 §2: base64url without padding, line breaks, or other characters, and one spelling only.
fn another_spelling(target: &Target) -> Vec<Attack> {
    let good = target.eddsa.sign(&target.claims);
    let parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    let mut attacks = Vec::new();
    for at in 0..3 {
        let mut with = |what: &str, part: Vec<u8>| {
            let mut changed: Vec<Vec<u8>> =
                parts.iter().map(|one| one.clone().into_bytes()).collect();
            changed[at] = part;
            attacks.push(attack(format!("part {at}: {what}"), changed.join(&b'.')));
        };
        let part = parts[at].clone().into_bytes();
        let (left, right) = part.split_at(part.len() / 2);
        for (what, between) in [
            ("a space", &b" "[..]),
            ("a tab", b"\t"),
            ("padding inside", b"="),
            ("a plus", b"+"),
            ("a slash", b"/"),
            ("a percent", b"%2e"),
            ("a letter of UTF-8", "é".as_bytes()),
            ("a full-width letter", "\u{ff21}".as_bytes()),
            ("a zero-width space", "\u{200b}".as_bytes()),
            ("a byte that is no UTF-8", b"\xff"),
            ("an overlong dot", b"\xc0\xae"),
        ] {
            with(what, [left, between, right].concat());
        }
        with("padding", [&part[..], b"="].concat());
        with("double padding", [&part[..], b"=="].concat());
        with("one letter more", [&part[..], b"A"].concat());
        with("one letter less", part[..part.len() - 1].to_vec());
        with("in upper case", part.to_ascii_uppercase());
    }
    // 64 bytes leave four bits of the last letter unused.
    let (start, last) = good.split_at(good.len() - 1);
    for loose in ('A'..='Z')
        .chain('a'..='z')
        .filter(|one| !last.contains(*one))
    {
        attacks.push(attack(
            format!("last letter {loose}"),
            format!("{start}{loose}"),
        ));
    }
    attacks
}
