//! `/page`: a page without a server of its own that logs in by a code with PKCE, to be tried and to
//! be read. Its tokens are in its memory and nowhere else, so they end with it.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use maud::html;

use super::html;
use crate::clients::PAGE_PATH;

pub(crate) const SCRIPT_PATH: &str = "/page.js";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// A page that logs in by a code with PKCE.
#[utoipa::path(
    get,
    path = PAGE_PATH,
    responses((status = 200, description = "The page", content_type = html::CONTENT_TYPE))
)]
pub(crate) async fn page() -> HttpResponse {
    let content = html! {
        p {
            "This page logs in by an authorization code with PKCE (RFC 7636), keeps its tokens in \
             memory and shows what it sends and gets."
        }
        p.buttons {
            button #login disabled { "Log in" }
            button #renew disabled { "Renew" }
            button #logout disabled { "Log out" }
        }
        form #call {
            label { "Path" input #path value="/jwt/me" required; }
            button disabled { "Ask with the token" }
        }
        h2 { "The access token" }
        pre #claims { "none" }
        h2 { "What happened" }
        ol #log {}
        noscript { p.error { "This page is a script." } }
        script src="page.js" {}
    };
    html::response(
        StatusCode::OK,
        "; script-src 'self'; connect-src 'self'; form-action 'none'",
        html::page("A page and its tokens", "page.css", &content),
    )
}

/// Its script.
#[utoipa::path(
    get,
    path = SCRIPT_PATH,
    operation_id = "pageScript",
    responses((status = 200, description = "The script", content_type = SCRIPT))
)]
pub(crate) async fn script() -> HttpResponse {
    file(SCRIPT, include_str!("page/page.js"))
}

/// The style of every page.
#[utoipa::path(
    get,
    path = html::STYLE_PATH,
    operation_id = "pageStyle",
    responses((status = 200, description = "The style sheet", content_type = STYLE))
)]
pub(crate) async fn style() -> HttpResponse {
    file(STYLE, include_str!("page/page.css"))
}

fn file(content_type: &'static str, body: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(body)
}
