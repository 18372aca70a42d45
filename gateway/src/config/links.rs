//! `GATEWAY_FRONT_PAGE`: what is to be found, and where.

use http::Uri;

use super::pools::entries;
use crate::front_page::{FrontPageSettings, Link};

/// Reads `NAME=URL,…`; nothing of an empty text.
pub(super) fn parse(text: String) -> Result<Option<FrontPageSettings>, String> {
    let links = entries(&text, ',')
        .map(parse_link)
        .collect::<Result<Vec<Link>, String>>()?;
    Ok(Some(FrontPageSettings { links }).filter(|settings| !settings.links.is_empty()))
}

fn parse_link(entry: &str) -> Result<Link, String> {
    let (name, url) = entry
        .split_once('=')
        .map(|(name, url)| (name.trim(), url.trim()))
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("{entry:?} is not NAME=URL"))?;
    // It is put into a line for a shell, between quotes.
    let plain = url
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\'');
    let parsed: Option<Uri> = url.parse().ok();
    parsed
        .filter(|url| plain && matches!(url.scheme_str(), Some("http" | "https")))
        .map(|_| Link {
            name: name.to_owned(),
            url: url.to_owned(),
        })
        .ok_or_else(|| format!("{url:?} is no URL with http:// or https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_a_name_and_an_address() {
        let settings = parse("gateway=http://127.0.0.1:8080, Jaeger=https://j/?a=b".to_owned());
        assert_eq!(
            settings.unwrap().unwrap().addresses(),
            "gateway http://127.0.0.1:8080 · Jaeger https://j/?a=b"
        );
        assert_eq!(parse(" ".to_owned()), Ok(None));
        for wrong in [
            "here",
            "=http://a",
            "a=b",
            "a=ftp://b",
            "a=http://b/'",
            "a=http://b c",
        ] {
            assert!(parse(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
