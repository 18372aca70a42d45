//! What can be wrong with a URL of Redis.

/// What is wrong with a URL, as the end of a sentence that begins with the variable's name. It never
/// repeats the URL, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Of none of the forms.
    #[error(
        "not a Redis URL such as redis://USER:PASSWORD@HOST:6379/0, rediss://HOST (TLS), \
         redis+sentinel://HOST:26379,HOST,HOST/NAME or redis+cluster://HOST,HOST,HOST"
    )]
    Form,
    /// TLS that trusts anybody, or something else behind a `#`.
    #[error(
        "takes no #insecure: name the authority that Redis' certificate is from \
         (in a password write # as %23)"
    )]
    Fragment,
    /// Several addresses and no word on what they are.
    #[error("names several addresses: begin it with redis+sentinel:// or redis+cluster://")]
    Several,
    /// An address, counted from 1, that is none.
    #[error(
        "its address number {0} is not HOST or HOST:PORT with a port from 1 to 65535 \
         (in a password write / ? # @ % : , as %2F %3F %23 %40 %25 %3A %2C)"
    )]
    Address(usize),
    /// An address, counted from 1, that was there before.
    #[error("its address number {0} is there twice")]
    Twice(usize),
    /// A user alone, or bytes that are no text.
    #[error("what stands before the @ is not USER:PASSWORD or :PASSWORD, percent-encoded UTF-8")]
    Login,
    /// Sentinels and no name.
    #[error(
        "names no primary: behind the addresses belongs the name that the sentinels know it by, \
         as in redis+sentinel://HOST:26379,HOST,HOST/NAME"
    )]
    Primary,
    /// No number.
    #[error("its database is not a whole number from 0")]
    Database,
    /// A cluster with a number of a database, or anything else behind its nodes.
    #[error("names something behind the nodes of a cluster, which has one database")]
    BehindNodes,
    /// A parameter that is not known.
    #[error("takes no parameters but sentinel_user and sentinel_password, each once")]
    Parameter,
    /// A user of sentinels alone, or bytes that are no text.
    #[error("needs sentinel_password where there is sentinel_user, both percent-encoded UTF-8")]
    SentinelLogin,
}
