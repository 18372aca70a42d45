//! Where the signing keys are, and how long the parts of their life are.

use std::{path::PathBuf, time::Duration};

use shared::config::Faults;

use super::{Args, positive_whole, whole};
use crate::{
    issuer::TokenSettings,
    keys::{KeySource, LEEWAY, Lifetimes, SealingKeys, SealingSource},
    list::entries,
};

/// Name of the file of the sealing key in the data folder.
const SEALING_KEY_FILE: &str = "key-encryption.key";
/// In which a replica looks at the keys four times.
const ANNOUNCE_MINIMUM: Duration = Duration::from_secs(2);
/// Keys that are published at a time: verifiers bound the size of a key set.
const MOST_KEYS: u64 = 100;

pub(super) fn source(
    args: &Args,
    tokens: Option<&TokenSettings>,
    faults: &mut Faults,
) -> Option<KeySource> {
    let sealing = sealing(args, faults);
    let lifetimes = lifetimes(args, tokens, faults);
    let files = args.signing_key_files.checked(faults, |list| match list {
        None => Ok(None),
        Some(list) => match entries(&list).map(PathBuf::from).collect::<Vec<_>>() {
            files if files.is_empty() => Err("names no file"),
            files => Ok(Some(files)),
        },
    });
    match files? {
        Some(files) => Some(KeySource::Files(files)),
        None => Some(KeySource::Database {
            sealing: sealing?,
            lifetimes: lifetimes?,
        }),
    }
}

fn sealing(args: &Args, faults: &mut Faults) -> Option<SealingSource> {
    let file = args.data_dir.value(faults)?.join(SEALING_KEY_FILE);
    args.key_encryption_key.checked(faults, |text| {
        let Some(text) = text else {
            return Ok(SealingSource::File(file));
        };
        SealingKeys::parse(text.expose())
            .map(|keys| SealingSource::Given {
                keys,
                earlier: file,
            })
            .ok_or("must be 32 bytes in base64url without padding: openssl rand 32 | basenc --base64url | tr -d =")
    })
}

fn lifetimes(
    args: &Args,
    tokens: Option<&TokenSettings>,
    faults: &mut Faults,
) -> Option<Lifetimes> {
    let announce = args.key_announce.checked(faults, |announce| {
        if announce < ANNOUNCE_MINIMUM {
            return Err("must be at least 2s, in which every replica learns of a key");
        }
        positive_whole(announce)
    });
    let rotate_every = args.key_rotate_every.checked(faults, whole);
    // Exchanged tokens live no longer. When the life of a token is wrong itself, the rest is checked.
    let longest_token = tokens.map_or(Duration::ZERO, |tokens| tokens.access_ttl);
    let retain = args.key_retain.checked(faults, |retain| {
        if retain < longest_token + LEEWAY {
            return Err(format!(
                "must be at least {}: {} and 30s for clocks that differ, or tokens outlive their key",
                humantime::format_duration(longest_token + LEEWAY),
                args.access_token_ttl.variable()
            ));
        }
        positive_whole(retain).map_err(str::to_owned)
    });
    let lifetimes = Lifetimes {
        announce: announce?,
        retain: retain?,
        rotate_every: rotate_every?,
        longest_token,
    };
    few_enough(args, &lifetimes, faults);
    Some(lifetimes)
}

/// Whether verifiers can be expected to take a set of as many keys as the times make.
fn few_enough(args: &Args, lifetimes: &Lifetimes, faults: &mut Faults) {
    let published = lifetimes.announce + lifetimes.retain;
    let others = published
        .as_secs()
        .checked_div(lifetimes.rotate_every.as_secs());
    if let Some(others @ MOST_KEYS..) = others {
        faults.add(
            args.key_rotate_every.variable(),
            format_args!(
                "{} keys would be published at a time ({} and {} are {}); verifiers are offered \
                 {MOST_KEYS} at most",
                others + 1,
                args.key_announce.variable(),
                args.key_retain.variable(),
                humantime::format_duration(published)
            ),
        );
    }
}
