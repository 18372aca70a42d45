//! The form in which a user logs in, and the page that says why there is none.

use actix_web::{HttpResponse, http::StatusCode};
use maud::html;

use super::request::Authorization;
use crate::{
    http::{error::Error, html},
    scope::Scope,
};

/// Seen from `/oauth/authorize`.
const STYLE: &str = "../page.css";

/// The form. After a failure it says why, and still has the name.
pub(super) fn response(
    authorization: &Authorization,
    username: &str,
    error: Option<&Error>,
) -> HttpResponse {
    let purpose = &authorization.purpose;
    let carried = [
        ("response_type", "code"),
        ("client_id", &purpose.client_id),
        ("redirect_uri", &purpose.redirect_uri),
        ("state", authorization.state.as_deref().unwrap_or_default()),
        ("code_challenge", &purpose.challenge),
        ("code_challenge_method", "S256"),
        ("scope", purpose.scope.map_or("", Scope::text)),
    ];
    let content = html! {
        p { "to continue to " b { (purpose.client_id) } }
        @if let Some(error) = error {
            p.error role="alert" { (said(error)) }
        }
        form method="post" action="authorize" {
            @for (name, value) in carried {
                input type="hidden" name=(name) value=(value);
            }
            label { "Name" input name="username" value=(username) autocomplete="username" required; }
            label {
                "Password"
                input type="password" name="password" autocomplete="current-password" required;
            }
            button { "Log in" }
        }
    };
    // No form-action: browsers hold every redirect that follows a form to it, also those of the client
    // after ours, and an address of IPv6 cannot be written there.
    html::response(StatusCode::OK, "", html::page("Log in", STYLE, &content))
}

/// A page that ends here.
pub(super) fn refused(status: StatusCode, reason: &str) -> HttpResponse {
    let content = html! {
        p.error role="alert" { (reason) }
        p { "Go back to where you came from and try again." }
    };
    html::response(
        status,
        "; form-action 'none'",
        html::page("This login cannot go on", STYLE, &content),
    )
}

/// What a person needs to know.
fn said(error: &Error) -> &'static str {
    match error {
        Error::WrongCredentials => "The name or the password is wrong.",
        Error::TooManyFailures(_) => "Too many logins have failed. Wait a while and try again.",
        Error::Disabled => "This account is disabled.",
        _ => "Nobody can log in just now. Try again in a moment.",
    }
}
