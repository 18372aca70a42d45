//! `GET` and `PUT /cart`: data that belongs to the login.
//!
//! The version of a cart is its entity tag. A change names the version that it was made from
//! (`If-Match`, RFC 9110 §13.1.1) and is refused without one (RFC 6585 §3), so that no update is
//! lost.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web,
};
use shared::{
    problem::Problem,
    server::{is_late, trace_of},
};

use super::{authenticated::Authenticated, state::State, state_cookie};
use crate::{
    auth::Request,
    cart::{CART_LIMIT_BYTES, Carried, Cart, CartError, HEADER, Held, Owner},
};

pub(super) const CART: &str = "/cart";

/// The cart of the login.
#[utoipa::path(
    get,
    path = CART,
    operation_id = "readCart",
    security(("bearer" = []), ("session" = [])),
    params(Carried<'static>),
    responses(
        Authenticated,
        (
            status = 200,
            description = "The cart; that of a new login is empty",
            body = Cart,
            headers(
                ("etag", description = "The version"),
                ("statewise-state", description = "Only when there is something new to carry: the sealed state"),
                ("set-cookie", description = "The same for browsers, as __Host-cart"),
            )
        ),
        (status = 403, description = "The credential belongs to no login"),
    )
)]
pub(super) async fn read(
    request: HttpRequest,
    state: web::Data<State>,
    Authenticated(principal): Authenticated,
) -> Result<HttpResponse, Problem> {
    let trace = trace_of(&request);
    let owner = Owner {
        request: Request::from(&request),
        principal: &principal,
        trace: trace.as_ref(),
    };
    Ok(answer(&state, state.carts.read(owner).await?))
}

/// Replaces the cart of the login.
#[utoipa::path(
    put,
    path = CART,
    operation_id = "writeCart",
    security(("bearer" = []), ("session" = [])),
    params(
        Carried<'static>,
        (
            "If-Match" = String,
            Header,
            description = "The version that the change was made from, as the ETag of a cart says it",
            // RFC 9110 §8.8.3 and §13.1.1, without `*`, which names no version.
            pattern = r#"^(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*$"#,
        ),
    ),
    request_body = Cart,
    responses(
        Authenticated,
        (
            status = 200,
            description = "The cart as it is now",
            body = Cart,
            headers(
                ("etag", description = "The version"),
                ("statewise-state", description = "Only when there is something new to carry: the sealed state"),
                ("set-cookie", description = "The same for browsers, as __Host-cart"),
            )
        ),
        (
            status = 403,
            description = "The credential belongs to no login, or another site sent the cookie",
        ),
        (status = 412, description = "The cart is at another version by now"),
        (status = 413, description = "The body or the sealed state is too large"),
        (status = 415, description = "The body is not JSON"),
        (status = 428, description = "If-Match is missing or names no version"),
    )
)]
pub(super) async fn write(
    request: HttpRequest,
    state: web::Data<State>,
    Authenticated(principal): Authenticated,
    body: web::Payload,
) -> Result<HttpResponse, Problem> {
    let versions = made_from(&request)?;
    let cart = body_of(&request, body).await?;
    let trace = trace_of(&request);
    let owner = Owner {
        request: Request::from(&request),
        principal: &principal,
        trace: trace.as_ref(),
    };
    let held = state.carts.write(owner, &versions, cart).await?;
    Ok(answer(&state, held))
}

fn answer(state: &State, held: Held) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ETAG, format!("\"{}\"", held.cart.version)));
    if let Some(sealed) = held.state {
        response.insert_header((HEADER, sealed.as_str()));
        response.cookie(state_cookie::carrying(sealed, state.state_ttl));
    }
    response.json(held.cart.cart)
}

/// The versions that `If-Match` names.
fn made_from(request: &HttpRequest) -> Result<Vec<u64>, Problem> {
    let mut versions = Vec::new();
    let mut values = request.headers().get_all(header::IF_MATCH).peekable();
    if values.peek().is_none() {
        return Err(required());
    }
    for value in values {
        if value.as_bytes().trim_ascii() == b"*" {
            // It matches whatever is there, which is the lost update that this is against.
            return Err(required());
        }
        versions.extend(tags(value).ok_or_else(malformed)?);
    }
    Ok(versions)
}

fn required() -> Problem {
    Problem::new(
        428,
        "precondition-required",
        "A change must name the version it was made from",
    )
    .detail("Send the ETag of the cart as If-Match; that of a new cart is \"0\".")
    .header("cache-control", "no-store")
}

fn malformed() -> Problem {
    Problem::bad_request("If-Match must be a list of entity tags, such as \"3\"")
        .header("cache-control", "no-store")
}

/// The versions among a list of entity tags (RFC 9110 §8.8.3). Tags that are not ours, and weak
/// ones, match nothing; `None` when it is no such list.
fn tags(value: &HeaderValue) -> Option<Vec<u64>> {
    let mut versions = Vec::new();
    let mut rest = value.to_str().ok()?.trim();
    loop {
        let weak = rest.starts_with("W/");
        rest = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let (tag, more) = rest.split_once('"')?;
        if tag.bytes().any(|byte| byte <= b' ') {
            return None;
        }
        // Digits as we write them: "01" is another tag than "1".
        let version = tag
            .parse()
            .ok()
            .filter(|number: &u64| number.to_string() == tag);
        versions.extend(version.filter(|_| !weak));
        rest = more.trim_start();
        if rest.is_empty() {
            return Some(versions);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

async fn body_of(request: &HttpRequest, body: web::Payload) -> Result<Cart, Problem> {
    let refused = |problem: Problem| problem.header("cache-control", "no-store");
    if !request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
    {
        return Err(refused(Problem::unsupported_media_type("application/json")));
    }
    let bytes = body
        .to_bytes_limited(CART_LIMIT_BYTES)
        .await
        .map_err(|_| refused(Problem::too_large(CART_LIMIT_BYTES)))?
        .map_err(|error| match error.as_error() {
            Some(error) if is_late(error) => refused(Problem::request_timeout()),
            _ => refused(Problem::bad_request("The body could not be read")),
        })?;
    Ok(Cart::parse(&bytes).map_err(CartError::Faulty)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_compared_strongly_and_byte_for_byte() {
        let read = |text: &str| tags(&HeaderValue::from_str(text).unwrap());
        assert_eq!(read("\"0\""), Some(vec![0]));
        assert_eq!(read("\"1\" ,\"22\", W/\"3\""), Some(vec![1, 22]));
        for foreign in [
            "W/\"1\"",
            "\"01\"",
            "\"+1\"",
            "\"a,b\"",
            "\"\"",
            "\"99999999999999999999\"",
        ] {
            assert_eq!(read(foreign), Some(vec![]), "{foreign}");
        }
        for no_list in [
            "",
            ",",
            "\"1\",",
            "\"a b\"",
            "1",
            "\"1",
            "*1",
            "\"1\" \"2\"",
            "w/\"1\"",
        ] {
            assert_eq!(read(no_list), None, "{no_list}");
        }
    }
}
