//! Pages for people, and the header fields that keep other sites out of them.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use maud::{DOCTYPE, Markup, html};

/// What a page is.
pub(super) const CONTENT_TYPE: &str = "text/html; charset=utf-8";
/// The style of every page; a file of its own, so that the policy need allow nothing inline.
pub(crate) const STYLE_PATH: &str = "/page.css";

/// A whole page around this content. `style` is where the style sheet is, seen from the page.
pub(super) fn page(title: &str, style: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href=(style);
            }
            body { main { h1 { (title) } (content) } }
        }
    }
}

/// An answer that a browser shows: no cache keeps it, no site frames it (RFC 9700 §4.16), and links
/// to other sites send no referrer. A form of ours says where it comes from: with `no-referrer` a
/// browser would send it with `Origin: null`. `more` are further directives of the content security policy.
pub(super) fn response(status: StatusCode, more: &str, body: Markup) -> HttpResponse {
    let policy = format!(
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'{more}"
    );
    HttpResponse::build(status)
        .content_type(CONTENT_TYPE)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .body(body.into_string())
}
