//! `authorization_code`: the code of a login in a browser for tokens, RFC 6749 §4.1.3 and RFC 7636 §4.5.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use shared::config::Secret;

use super::TokenAnswer;
use crate::{
    codes::{Code, Purpose},
    http::{
        call::Call,
        ending,
        error::{Error, OAuthError},
        oauth::{client::Caller, form::Form},
    },
    refresh::Beginning,
};

pub(super) async fn answer(
    call: &Call,
    caller: &Caller,
    form: &Form,
) -> Result<TokenAnswer, Error> {
    let code = form.require("code", "code is missing")?;
    let redirect_uri = form.require("redirect_uri", "redirect_uri is missing")?;
    let verifier = form.require("code_verifier", "code_verifier is missing")?;
    if !is_verifier(verifier) {
        return Err(OAuthError::InvalidRequest("code_verifier is none of RFC 7636 §4.1").into());
    }
    let code = Secret::new(code.to_owned());
    let found = call.codes.find(&code, call.at()).await?;
    // Whoever cannot prove what the code was issued for learns nothing of it and spends nothing.
    let found = found
        .filter(|found| {
            let Purpose {
                client_id,
                redirect_uri: bound,
                challenge,
                scope: _,
            } = &found.purpose;
            caller.id() == client_id && redirect_uri == bound && proves(verifier, challenge)
        })
        .ok_or(OAuthError::InvalidGrant)?;
    if let Some(login) = found.family {
        return reused(call, &login).await;
    }
    let (expires_at, scope) = (call.issuer.refresh_limit(), found.purpose.scope);
    let beginning = Beginning {
        user_id: &found.user.id,
        client_id: caller.id(),
        login_at: found.login_at,
        generation: found.generation,
        expires_at,
        scope,
    };
    let tokens = &call.refresh_tokens;
    let Some((login, refresh_token)) = tokens.start_by_code(beginning, &code, call.at()).await?
    else {
        return redeemed_meanwhile(call, &code).await;
    };
    ending::excess(call, &found.user.id, &login).await;
    let access_token =
        call.issuer
            .access_token(&found.user, caller.id(), &login, expires_at, scope)?;
    Ok(TokenAnswer::renewable(&access_token, &refresh_token).granting(scope))
}

/// Somebody redeemed the code at the same time: the same as one who comes later.
async fn redeemed_meanwhile(call: &Call, code: &Code) -> Result<TokenAnswer, Error> {
    let found = call.codes.find(code, call.at()).await?;
    match found.and_then(|found| found.family) {
        Some(login) => reused(call, &login).await,
        None => Err(OAuthError::InvalidGrant.into()),
    }
}

/// RFC 6749 §4.1.2: two have a code that is used twice, so its login ends.
async fn reused(call: &Call, login: &str) -> Result<TokenAnswer, Error> {
    ending::login(call, login).await?;
    tracing::warn!("an authorization code was used twice: its login was ended");
    Err(OAuthError::InvalidGrant.into())
}

/// RFC 7636 §4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// RFC 7636 §4.6, of the method `S256`.
fn proves(verifier: &str, challenge: &str) -> bool {
    let computed = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    verify_slices_are_equal(computed.as_bytes(), challenge.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    #[test]
    fn rfc7636_b_the_example_of_the_standard_proves_itself() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(is_verifier(verifier) && proves(verifier, challenge));
        assert!(!proves(&verifier.replace('d', "e"), challenge));
        assert!(
            !proves(challenge, challenge),
            "that would be the method plain"
        );
    }

    /// RFC 7636 §4.1.
    #[test]
    fn rfc7636_4_1_a_verifier_has_43_to_128_unreserved_characters() {
        for (text, good) in [
            ("a".repeat(43), true),
            ("-._~".repeat(32), true),
            ("a".repeat(42), false),
            ("a".repeat(129), false),
            ("é".repeat(30), false),
            (format!("{}+", "a".repeat(43)), false),
        ] {
            assert_eq!(is_verifier(&text), good, "{text}");
        }
    }
}
